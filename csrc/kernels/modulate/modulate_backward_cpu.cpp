#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/modulate/blocks.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {
namespace {

// Sums over a block of u = grad * gamma and of u * xhat, and later their means over a statistic.
struct Sums {
  double u;
  double ux;
};

template <class T>
struct Job {
  using C = Compute<T>;
  explicit Job(const ModulateBackwardParams& params)
      : p(params),
        grad(static_cast<const T*>(params.grad)),
        x(static_cast<const T*>(params.x)),
        gamma(static_cast<const T*>(params.gamma)),
        mean(static_cast<const C*>(params.mean)),
        rstd(static_cast<const C*>(params.rstd)),
        dx(static_cast<T*>(params.dx)),
        dgamma(static_cast<T*>(params.dgamma)) {}
  const ModulateBackwardParams& p;
  const T* grad;
  const T* x;
  const T* gamma;
  const C* mean;
  const C* rstd;
  T* dx;
  T* dgamma;
};

template <class T>
SM_INLINE Sums sum_run(const Job<T>& job, int64_t at, int64_t count, Compute<T> mean,
                       Compute<T> rstd) {
  using C = Compute<T>;
  const T* grad = job.grad + at;
  const T* x = job.x + at;
  const T* gamma = job.gamma + at;
  C sum_u = 0, sum_ux = 0;
#pragma omp simd reduction(+ : sum_u, sum_ux)
  for (int64_t i = 0; i < count; ++i) {
    const C u = load(grad[i]) * load(gamma[i]);
    sum_u += u;
    sum_ux += u * ((load(x[i]) - mean) * rstd);
  }
  return {sum_u, sum_ux};
}

// statistic is [2, channels]: mean, rstd. sums is [2, channels].
template <class T>
SM_INLINE void sum_pixels(const Job<T>& job, int64_t at, int64_t pixels, int64_t channels,
                          const Compute<T>* __restrict statistic, Compute<T>* __restrict sums,
                          Sums* out) {
  using C = Compute<T>;
  std::fill(sums, sums + 2 * channels, C(0));
  for (int64_t p = at; p < at + pixels; ++p) {
    const T* grad = job.grad + p * channels;
    const T* x = job.x + p * channels;
    const T* gamma = job.gamma + p * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const C u = load(grad[c]) * load(gamma[c]);
      sums[c] += u;
      sums[channels + c] += u * ((load(x[c]) - statistic[c]) * statistic[channels + c]);
    }
  }
  for (int64_t c = 0; c < channels; ++c) out[c] = {sums[c], sums[channels + c]};
}

template <class T>
SM_INLINE void gradient_run(const Job<T>& job, int64_t at, int64_t count, Compute<T> mean,
                            Compute<T> rstd, Compute<T> mean_u, Compute<T> mean_ux) {
  using C = Compute<T>;
  const T* grad = job.grad + at;
  const T* x = job.x + at;
  const T* gamma = job.gamma + at;
  T* __restrict dx = job.dx + at;
  T* __restrict dgamma = job.dgamma + at;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const C g = load(grad[i]), xhat = (load(x[i]) - mean) * rstd;
    store(dx[i], modulate_dx_element(g, xhat, load(gamma[i]), rstd, mean_u, mean_ux));
    store(dgamma[i], g * xhat);
  }
}

// statistic is [4, channels]: mean, rstd, mean_u, mean_ux.
template <class T>
SM_INLINE void gradient_pixel(const Job<T>& job, int64_t at, int64_t channels,
                              const Compute<T>* __restrict statistic) {
  using C = Compute<T>;
  const T* grad = job.grad + at;
  const T* x = job.x + at;
  const T* gamma = job.gamma + at;
  T* __restrict dx = job.dx + at;
  T* __restrict dgamma = job.dgamma + at;
  const C* __restrict mean = statistic;
  const C* __restrict rstd = mean + channels;
  const C* __restrict mean_u = rstd + channels;
  const C* __restrict mean_ux = mean_u + channels;
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) {
    const C g = load(grad[c]), xhat = (load(x[c]) - mean[c]) * rstd[c];
    store(dx[c], modulate_dx_element(g, xhat, load(gamma[c]), rstd[c], mean_u[c], mean_ux[c]));
    store(dgamma[c], g * xhat);
  }
}

template <class T>
SM_INLINE void sum_block(const Job<T>& job, const Blocks& b, Compute<T>* scratch, Sums* partials,
                         int64_t task) {
  const NormShape& s = job.p.shape;
  const int64_t unit = b.unit(task), at = unit * b.length + b.begin(task);
  Sums* out = partials + task * b.per_block;
  if (b.runs) {
    const int64_t i = run_statistic(s, unit);
    *out = sum_run(job, at, b.size(task), job.mean[i], job.rstd[i]);
    return;
  }
  for (int64_t c = 0; c < s.channels; ++c) {
    scratch[c] = job.mean[s.statistic(unit, c)];
    scratch[s.channels + c] = job.rstd[s.statistic(unit, c)];
  }
  sum_pixels(job, at, b.size(task), s.channels, scratch, scratch + 2 * s.channels, out);
}

template <class T>
SM_INLINE void gradient_block(const Job<T>& job, const Blocks& b, Compute<T>* scratch,
                              const Sums* means, int64_t task) {
  using C = Compute<T>;
  const NormShape& s = job.p.shape;
  const int64_t unit = b.unit(task), at = unit * b.length + b.begin(task);
  if (b.runs) {
    const int64_t i = run_statistic(s, unit);
    gradient_run(job, at, b.size(task), job.mean[i], job.rstd[i], static_cast<C>(means[i].u),
                 static_cast<C>(means[i].ux));
    return;
  }
  for (int64_t c = 0; c < s.channels; ++c) {
    const int64_t i = s.statistic(unit, c);
    scratch[c] = job.mean[i];
    scratch[s.channels + c] = job.rstd[i];
    scratch[2 * s.channels + c] = static_cast<C>(means[i].u);
    scratch[3 * s.channels + c] = static_cast<C>(means[i].ux);
  }
  for (int64_t pixel = at; pixel < at + b.size(task); ++pixel)
    gradient_pixel(job, pixel * s.channels, s.channels, scratch);
}

#define SM_DEFINE(T)                                                                             \
  SM_CLONES void sum_blocks(const Job<T>& job, const Blocks& b, Compute<T>* scratch,             \
                            Sums* partials, int64_t begin, int64_t end) {                        \
    for (int64_t task = begin; task < end; ++task) sum_block(job, b, scratch, partials, task);   \
  }                                                                                              \
  SM_CLONES void gradient_blocks(const Job<T>& job, const Blocks& b, Compute<T>* scratch,        \
                                 const Sums* means, int64_t begin, int64_t end) {                \
    for (int64_t task = begin; task < end; ++task) gradient_block(job, b, scratch, means, task); \
  }
SM_FOR_EACH_DTYPE(SM_DEFINE)
#undef SM_DEFINE

}  // namespace

void modulate_backward_cpu(const ModulateBackwardParams& p) {
  const NormShape& s = p.shape;
  if (s.batch * s.channels * s.pixels == 0) return;
  const Blocks blocks(s);
  std::vector<Sums> means(s.statistics());
  dispatch(s.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Job<T> job(p);
    if (!p.fixed_statistics) {
      std::vector<Sums> partials(blocks.count() * blocks.per_block);
      parallel_tasks(blocks.count(), blocks.cost(s), [&](int64_t begin, int64_t end) {
        std::vector<Compute<T>> scratch(blocks.runs ? 0 : 4 * s.channels);
        sum_blocks(job, blocks, scratch.data(), partials.data(), begin, end);
      });
      const double count = static_cast<double>(s.count());
      for (int64_t i = 0; i < s.statistics(); ++i) {
        Sums total{};
        blocks.for_each_partial(s, i, [&](int64_t k) {
          total.u += partials[k].u;
          total.ux += partials[k].ux;
        });
        means[i] = {total.u / count, total.ux / count};
      }
    }
    parallel_tasks(blocks.count(), blocks.cost(s), [&](int64_t begin, int64_t end) {
      std::vector<Compute<T>> scratch(blocks.runs ? 0 : 4 * s.channels);
      gradient_blocks(job, blocks, scratch.data(), means.data(), begin, end);
    });
  });
}

}  // namespace stylemap
