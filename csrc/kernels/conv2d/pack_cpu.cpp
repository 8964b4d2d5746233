// Filters times a factor, blocked for the products: transformed, U = G g G^T, or as they are. All
// of it in double, rounded once (taps in float16 by way of float).
#include <algorithm>

#include "kernels/common/dtype.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/scheme.h"

namespace stylemap {
namespace {

constexpr int kRun = 9 * kChannels;  // of one output

template <class T>
SM_CLONES void scale_line(const T* values, double factor, int64_t count, double* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(values[i]) * factor;
}

// The taps of kChannels inputs of output r, with zeros where there is none.
void load_line(const Filters& f, int64_t r, int64_t input, double* to) {
  const int64_t count = r < f.outputs ? std::clamp<int64_t>(f.inputs - input, 0, kChannels) * 9 : 0;
  const int64_t at = (r * f.inputs + input) * 9;
  if (f.wide)
    scale_line(static_cast<const double*>(f.values) + at, f.factor, count, to);
  else
    scale_line(static_cast<const float*>(f.values) + at, f.factor, count, to);
  std::fill(to + count, to + kRun, 0.0);
}

// What kChannels inputs of a block have in its lanes, taps[input * 9 + tap][lane].
template <class T>
void load_block(const Filters& f, int64_t block, int64_t input, T (*taps)[kBlock]) {
  double line[kRun];
  for (int lane = 0; lane < f.lanes; ++lane) {
    load_line(f, block * f.lanes + lane, input, line);
    for (int i = 0; i < kRun; ++i) taps[i][f.first + lane] = static_cast<T>(line[i]);
  }
}

// One input channel of one block: 32 filters to weights x weights x 32 values.
SM_CLONES void transform_filters(const Scheme& scheme, const double (*taps)[kBlock], double* u) {
  double rows[3][kBlock];
  for (int i = 0; i < scheme.weights; ++i) {
    const double* g = scheme.g[i];
    for (int x = 0; x < 3; ++x)
      for (int o = 0; o < kBlock; ++o)
        rows[x][o] = g[0] * taps[x][o] + g[1] * taps[3 + x][o] + g[2] * taps[6 + x][o];
    for (int j = 0; j < scheme.weights; ++j, u += kBlock) {
      const double* h = scheme.g[j];
      for (int o = 0; o < kBlock; ++o)
        u[o] = h[0] * rows[0][o] + h[1] * rows[1][o] + h[2] * rows[2][o];
    }
  }
}

SM_CLONES void store_lanes(const float* from, int count, float* to) {
  for (int o = 0; o < count; ++o) to[o] = from[o];
}

SM_CLONES void store_lanes(const float* from, int count, float16* to) {
  for (int o = 0; o < count; ++o) store(to[o], from[o]);
}

template <class T>
void store_taps(const TapsParams& p, int64_t task, const float (*taps)[kBlock]) {
  const int first = p.filters.first;
  T* to = static_cast<T*>(p.taps) + task * kRun * kBlock + first;
  if (p.filters.lanes == kBlock) return store_lanes(taps[0], kRun * kBlock, to);
  for (int i = 0; i < kRun; ++i, to += kBlock) store_lanes(taps[i] + first, p.filters.lanes, to);
}

// U of one input channel to its place.
void store_weights(const PackParams& p, const Scheme& scheme, int64_t block, int64_t k,
                   const double* u) {
  const int first = p.filters.first, last = first + p.filters.lanes;
  for (int i = 0; i < scheme.weights * scheme.weights; ++i, u += kBlock) {
    const int position = scheme.weight_row[i / scheme.weights][i % scheme.weights];
    const int64_t row = (block * scheme.weight_rows + position) * p.inputs + k;
    if (p.bf16) {
      bfloat16* to = static_cast<bfloat16*>(p.packed) + row / 2 * kBlock * 2 + row % 2;
      for (int o = first; o < last; ++o) store(to[2 * o], static_cast<float>(u[o]));
    } else {
      float* to = static_cast<float*>(p.packed) + row * kBlock;
      for (int o = first; o < last; ++o) to[o] = static_cast<float>(u[o]);
    }
  }
}

}  // namespace

void conv2d_pack(const PackParams& params) {
  const Scheme& scheme = conv2d_scheme(params.mode, params.tile);
  const int64_t runs = params.inputs / kChannels;
  parallel_for(params.outputs / kBlock * runs, 1, [&](int64_t begin, int64_t end) {
    double taps[kRun][kBlock] = {}, u[kMaxPlanes * kBlock];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / runs, input = task % runs * kChannels;
      load_block(params.filters, block, input, taps);
      for (int k = 0; k < kChannels; ++k) {
        transform_filters(scheme, taps + k * 9, u);
        store_weights(params, scheme, block, input + k, u);
      }
    }
  });
}

void conv2d_taps(const TapsParams& params) {
  // Of kChannels inputs at a time: what is written fits into the first-level cache.
  const int64_t runs = params.inputs / kChannels;
  parallel_for(params.outputs / kBlock * runs, 4, [&](int64_t begin, int64_t end) {
    float taps[kRun][kBlock];
    for (int64_t task = begin; task < end; ++task) {
      load_block(params.filters, task / runs, task % runs * kChannels, taps);
      if (params.half)
        store_taps<float16>(params, task, taps);
      else
        store_taps<float>(params, task, taps);
    }
  });
}

}  // namespace stylemap
