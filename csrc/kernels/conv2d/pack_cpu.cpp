// Weights to U = G g G^T, in double, blocked for the products.
#include "kernels/common/dtype.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/scheme.h"

namespace stylemap {
namespace {

// One input channel of one block: 32 filters to weights x weights x 32 values.
SM_CLONES void transform_filters(const Scheme& scheme, const double* weight, int64_t stride,
                                 double* u) {
  double taps[9][kBlock], rows[3][kBlock];
  for (int o = 0; o < kBlock; ++o)
    for (int t = 0; t < 9; ++t) taps[t][o] = weight[o * stride + t];
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

}  // namespace

void conv2d_pack(const PackParams& params) {
  const Scheme& scheme = conv2d_scheme(params.mode, params.tile);
  const int64_t tasks = params.outputs / kBlock * params.inputs;
  parallel_for(tasks, 16, [&](int64_t begin, int64_t end) {
    double u[kMaxPlanes * kBlock];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / params.inputs, k = task % params.inputs;
      const double* weight = params.weight + (block * kBlock * params.inputs + k) * 9;
      transform_filters(scheme, weight, params.inputs * 9, u);
      for (int i = 0; i < scheme.weights * scheme.weights; ++i) {
        const double* from = u + i * kBlock;
        const int position = scheme.weight_row[i / scheme.weights][i % scheme.weights];
        const int64_t row = (block * scheme.weight_rows + position) * params.inputs + k;
        if (params.bf16) {
          bfloat16* to = static_cast<bfloat16*>(params.packed) + row / 2 * kBlock * 2 + row % 2;
          for (int o = 0; o < kBlock; ++o) store(to[2 * o], static_cast<float>(from[o]));
        } else {
          float* to = static_cast<float*>(params.packed) + row * kBlock;
          for (int o = 0; o < kBlock; ++o) to[o] = static_cast<float>(from[o]);
        }
      }
    }
  });
}

void conv2d_taps(const TapsParams& params) {
  // Of kChannels inputs at a time: what is written fits into the first-level cache.
  constexpr int kRun = 9 * kChannels;
  const int64_t runs = params.inputs / kChannels;
  parallel_for(params.outputs / kBlock * runs, 4, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / runs, run = task % runs;
      const double* weight = params.weight + block * kBlock * params.inputs * 9 + run * kRun;
      float* to = params.taps + task * kRun * kBlock;
      for (int o = 0; o < kBlock; ++o, weight += params.inputs * 9)
        for (int i = 0; i < kRun; ++i) to[i * kBlock + o] = static_cast<float>(weight[i]);
    }
  });
}

}  // namespace stylemap
