// Weights to U = G g G^T, in double, blocked for the products.
#include <cstring>

#include "kernels/common/dtype.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/toom.h"

namespace stylemap {
namespace {

// One input channel of one block: 32 filters to (M + 2)^2 x 32 values.
template <int M>
SM_INLINE void transform_filters(const double* weight, int64_t stride, double* u) {
  constexpr int N = M + 2;
  double taps[9][kBlock], rows[N][3][kBlock];
  for (int o = 0; o < kBlock; ++o)
    for (int t = 0; t < 9; ++t) taps[t][o] = weight[o * stride + t];
  for (int i = 0; i < N; ++i) {
    const double* g = kToom<M>.g[i];
    for (int x = 0; x < 3; ++x)
      for (int o = 0; o < kBlock; ++o)
        rows[i][x][o] = g[0] * taps[x][o] + g[1] * taps[3 + x][o] + g[2] * taps[6 + x][o];
  }
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j < N; ++j, u += kBlock) {
      const double* g = kToom<M>.g[j];
      for (int o = 0; o < kBlock; ++o)
        u[o] = g[0] * rows[i][0][o] + g[1] * rows[i][1][o] + g[2] * rows[i][2][o];
    }
  }
}

SM_CLONES void transform_filters_2(const double* weight, int64_t stride, double* u) {
  transform_filters<2>(weight, stride, u);
}
SM_CLONES void transform_filters_4(const double* weight, int64_t stride, double* u) {
  transform_filters<4>(weight, stride, u);
}
SM_CLONES void transform_filters_6(const double* weight, int64_t stride, double* u) {
  transform_filters<6>(weight, stride, u);
}

}  // namespace

void conv2d_pack(const PackParams& params) {
  const auto transform = params.tile == 2   ? transform_filters_2
                         : params.tile == 4 ? transform_filters_4
                                            : transform_filters_6;
  const int64_t planes = int64_t{params.tile + 2} * (params.tile + 2);
  const int64_t tasks = params.outputs / kBlock * params.inputs;
  parallel_for(tasks, 16, [&](int64_t begin, int64_t end) {
    double u[64 * kBlock];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / params.inputs, k = task % params.inputs;
      const double* weight = params.weight + (block * kBlock * params.inputs + k) * 9;
      transform(weight, params.inputs * 9, u);
      for (int64_t plane = 0; plane < planes; ++plane) {
        const double* from = u + plane * kBlock;
        const int64_t panel = (block * planes + plane) * params.inputs * kBlock;
        if (params.bf16) {
          bfloat16* to = static_cast<bfloat16*>(params.packed) + panel + k / 2 * kBlock * 2 + k % 2;
          for (int o = 0; o < kBlock; ++o) store(to[2 * o], static_cast<float>(from[o]));
        } else {
          float* to = static_cast<float*>(params.packed) + panel + k * kBlock;
          for (int o = 0; o < kBlock; ++o) to[o] = static_cast<float>(from[o]);
        }
      }
    }
  });
}

}  // namespace stylemap
