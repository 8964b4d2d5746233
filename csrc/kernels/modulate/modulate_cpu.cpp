#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/modulate/blocks.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {
namespace {

template <class T>
struct Job {
  const ModulateParams& p;
  // The view of x as runs where gamma and beta are dense, otherwise as pixels.
  Blocks blocks;
};

template <class T>
SM_INLINE void modulate_run(const T* x, const T* gamma, const T* beta, T* y, int64_t count,
                            Compute<T> mean, Compute<T> rstd) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i)
    store(y[i], modulate_element(load(x[i]), load(gamma[i]), load(beta[i]), mean, rstd));
}

template <class T>
SM_INLINE void modulate_pixel(const T* x, const T* gamma, const T* beta, T* y, int64_t channels,
                              const Compute<T>* mean, const Compute<T>* rstd) {
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c)
    store(y[c], modulate_element(load(x[c]), load(gamma[c]), load(beta[c]), mean[c], rstd[c]));
}

// scratch is [2, channels] for blocks of pixels: the mean and rstd of each channel.
template <class T>
SM_INLINE void modulate_block(const Job<T>& job, Compute<T>* scratch, int64_t task) {
  using C = Compute<T>;
  const ModulateParams& p = job.p;
  const NormShape& s = p.shape;
  const Blocks& b = job.blocks;
  const C* mean = static_cast<const C*>(p.mean);
  const C* rstd = static_cast<const C*>(p.rstd);
  const T* x = static_cast<const T*>(p.x);
  const T* gamma = static_cast<const T*>(p.gamma);
  const T* beta = static_cast<const T*>(p.beta);
  T* y = static_cast<T*>(p.y);
  const int64_t unit = b.unit(task), begin = b.begin(task), size = b.size(task);
  if (b.runs) {
    const int64_t per_sample = b.units / s.batch, statistic = run_statistic(s, unit);
    const int64_t sample = unit / per_sample, inside = unit % per_sample * b.length + begin;
    const int64_t at = unit * b.length + begin;
    // Pixels of channels_last come here only without gaps between them.
    const int64_t pixels = s.channels_last ? s.pixels : 1;
    modulate_run(x + at, gamma + sample * pixels * p.gamma_stride + inside,
                 beta + sample * pixels * p.beta_stride + inside, y + at, size, mean[statistic],
                 rstd[statistic]);
    return;
  }
  for (int64_t c = 0; c < s.channels; ++c) {
    scratch[c] = mean[s.statistic(unit, c)];
    scratch[s.channels + c] = rstd[s.statistic(unit, c)];
  }
  for (int64_t at = unit * s.pixels + begin, end = at + size; at < end; ++at)
    modulate_pixel(x + at * s.channels, gamma + at * p.gamma_stride, beta + at * p.beta_stride,
                   y + at * s.channels, s.channels, scratch, scratch + s.channels);
}

#define SM_DEFINE(T)                                                                              \
  SM_CLONES void run_blocks(const Job<T>& job, Compute<T>* scratch, int64_t begin, int64_t end) { \
    for (int64_t task = begin; task < end; ++task) modulate_block(job, scratch, task);            \
  }
SM_FOR_EACH_DTYPE(SM_DEFINE)
#undef SM_DEFINE

Blocks blocks_of(const ModulateParams& p) {
  const int64_t channels = p.shape.channels;
  const bool gaps = p.gamma_stride != channels || p.beta_stride != channels;
  return p.shape.channels_last && gaps ? Blocks::of_pixels(p.shape) : Blocks(p.shape);
}

}  // namespace

void modulate_cpu(const ModulateParams& p) {
  if (p.shape.batch * p.shape.channels * p.shape.pixels == 0) return;
  const Blocks blocks = blocks_of(p);
  dispatch(p.shape.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Job<T> job{p, blocks};
    parallel_tasks(blocks.count(), blocks.cost(p.shape), [&](int64_t begin, int64_t end) {
      std::vector<Compute<T>> scratch(blocks.runs ? 0 : 2 * p.shape.channels);
      run_blocks(job, scratch.data(), begin, end);
    });
  });
}

}  // namespace stylemap
