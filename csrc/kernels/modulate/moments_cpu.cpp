// Means and variances: two passes over each block, which stays in cache, and Chan's formula to join
// the blocks in double precision.
#include <cmath>
#include <vector>

#include "kernels/common/moments.h"
#include "kernels/common/parallel.h"
#include "kernels/modulate/blocks.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {
namespace {

template <class T>
struct Job {
  const MomentsParams& p;
  Blocks blocks;
  Moments<double>* partials;  // [blocks, per_block]
};

template <class T>
SM_INLINE Moments<double> run_moments(const T* x, int64_t count) {
  using C = Compute<T>;
  C sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += load(x[i]);
  const C mean = sum / static_cast<C>(count);
  // The deviations sum to what rounding left in the mean.
  C deviations = 0, squares = 0;
#pragma omp simd reduction(+ : deviations, squares)
  for (int64_t i = 0; i < count; ++i) {
    const C deviation = load(x[i]) - mean;
    deviations += deviation;
    squares += deviation * deviation;
  }
  const double n = static_cast<double>(count), rest = deviations / n;
  return {n, mean + rest, squares - rest * rest * n};
}

// The same for each channel of a block of pixels. mean, deviations and squares are scratch.
template <class T>
SM_INLINE void pixel_moments(const T* x, int64_t pixels, int64_t channels,
                             Compute<T>* __restrict mean, Compute<T>* __restrict deviations,
                             Compute<T>* __restrict squares, Moments<double>* out) {
  using C = Compute<T>;
  std::fill(mean, mean + channels, C(0));
  std::fill(deviations, deviations + channels, C(0));
  std::fill(squares, squares + channels, C(0));
  for (int64_t p = 0; p < pixels; ++p) {
    const T* row = x + p * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) mean[c] += load(row[c]);
  }
  for (int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<C>(pixels);
  for (int64_t p = 0; p < pixels; ++p) {
    const T* row = x + p * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const C deviation = load(row[c]) - mean[c];
      deviations[c] += deviation;
      squares[c] += deviation * deviation;
    }
  }
  const double n = static_cast<double>(pixels);
  for (int64_t c = 0; c < channels; ++c) {
    const double rest = deviations[c] / n;
    out[c] = {n, mean[c] + rest, squares[c] - rest * rest * n};
  }
}

template <class T>
SM_INLINE void block_moments(const Job<T>& job, Compute<T>* scratch, int64_t task) {
  const NormShape& s = job.p.shape;
  const Blocks& b = job.blocks;
  const T* x = static_cast<const T*>(job.p.x);
  const int64_t first = b.unit(task) * b.length + b.begin(task);
  Moments<double>* out = job.partials + task * b.per_block;
  if (b.runs)
    *out = run_moments(x + first, b.size(task));
  else
    pixel_moments(x + first * s.channels, b.size(task), s.channels, scratch, scratch + s.channels,
                  scratch + 2 * s.channels, out);
}

#define SM_DEFINE(T)                                                                              \
  SM_CLONES void run_blocks(const Job<T>& job, Compute<T>* scratch, int64_t begin, int64_t end) { \
    for (int64_t task = begin; task < end; ++task) block_moments(job, scratch, task);             \
  }
SM_FOR_EACH_DTYPE(SM_DEFINE)
#undef SM_DEFINE

}  // namespace

void moments_cpu(const MomentsParams& p) {
  const NormShape& s = p.shape;
  if (s.channels == 0) return;
  const Blocks blocks(s);
  std::vector<Moments<double>> partials(blocks.count() * blocks.per_block);
  dispatch(s.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = Compute<T>;
    const Job<T> job{p, blocks, partials.data()};
    parallel_tasks(blocks.count(), blocks.cost(s), [&](int64_t begin, int64_t end) {
      std::vector<C> scratch(blocks.runs ? 0 : 3 * s.channels);
      run_blocks(job, scratch.data(), begin, end);
    });
    for (int64_t i = 0; i < s.statistics(); ++i) {
      Moments<double> total{};
      blocks.for_each_partial(s, i, [&](int64_t k) { total = join(total, partials[k]); });
      // Of no elements both are NaN, as in PyTorch.
      const double variance = total.m2 / total.count;
      static_cast<C*>(p.mean)[i] = static_cast<C>(total.count > 0 ? total.mean : variance);
      static_cast<C*>(p.spread)[i] =
          static_cast<C>(p.inverse ? 1 / std::sqrt(variance + p.eps) : variance);
    }
  });
}

}  // namespace stylemap
