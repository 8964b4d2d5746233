#include "kernels/bias_act/bias_act.h"
#include "kernels/common/pack.h"
#include "kernels/common/reduce.h"
#include "kernels/implicit_gemm/epilogue.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"

namespace stylemap {
namespace {

// Moments of the values this thread stored. In registers they are exact to the last bits: the mean
// first, then the deviations.
template <class Tile>
__device__ Moments<float> moments_of(const float (&value)[Tile::kM][Tile::kN][4],
                                     const bool (&row_valid)[Tile::kM][2],
                                     const bool (&column_valid)[Tile::kN]) {
  float count = 0, sum = 0, m2 = 0;
#pragma unroll
  for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
    for (int n = 0; n < Tile::kN; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (row_valid[m][i / 2] && column_valid[n]) {
          count += 1;
          sum += value[m][n][i];
        }
  const float mean = count > 0 ? sum / count : 0;
#pragma unroll
  for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
    for (int n = 0; n < Tile::kN; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (row_valid[m][i / 2] && column_valid[n]) {
          const float deviation = value[m][n][i] - mean;
          m2 += deviation * deviation;
        }
  return {count, mean, m2};
}

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) conv_act(const ConvActParams p) {
  using Shared = TileShared<T, Tile, Tile::kColumns>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const int columns_tiles = column_tiles<Tile>(g);
  const int64_t tile = blockIdx.x / columns_tiles;
  const int first_column = blockIdx.x % columns_tiles * Tile::kColumns;
  for (int row = threadIdx.x; row < Tile::kRows; row += Tile::kThreads)
    shared.rows[row] = tile_row<Tile>(g, tile, row);
  __syncthreads();

  float sum[Tile::kM][Tile::kN][4] = {};
  multiply_tile<T, Tile>(g, shared.rows, first_column, shared.stages, sum);

  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  bool row_valid[Tile::kM][2], column_valid[Tile::kN];
#pragma unroll
  for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      row_valid[m][half] = shared.rows[sum_row<Tile>(m, half, lane, warp)] >= 0;
#pragma unroll
  for (int n = 0; n < Tile::kN; ++n) {
    const int column = sum_column<Tile>(n, lane, warp);
    column_valid[n] = first_column + column < g.columns;
    float bias[2] = {0, 0};
    if (g.bias && column_valid[n]) {
      bias[0] = g.bias[first_column + column];
      bias[1] = g.bias[first_column + column + 1];
    }
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Pack<T, 2> out;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& value = sum[m][n][2 * half + i];
          store(out.value[i], bias_act_element(value, bias[i], p.negative_slope, p.gain));
          value = load(out.value[i]);
        }
        T* to = shared.out + sum_row<Tile>(m, half, lane, warp) * Shared::kPitch + column;
        *reinterpret_cast<Pack<T, 2>*>(to) = out;
      }
  }
  __syncthreads();
  for_each_pack<T, Tile, Tile::kColumns>(
      shared, g.columns - first_column, [&](int row, int column, const T* from) {
        const OutPixel out = out_pixel(g, row);
        const int64_t line = int64_t{out.sample} * p.y_height + out.y * p.step + p.offset_y;
        const int64_t pixel = line * p.y_width + out.x * p.step + p.offset_x;
        T* to = static_cast<T*>(p.y) + pixel * g.columns + first_column + column;
        *reinterpret_cast<Pack<T, 8>*>(to) = *reinterpret_cast<const Pack<T, 8>*>(from);
      });
  if (p.partials) {
    const auto moments = block_join<Tile::kThreads>(moments_of<Tile>(sum, row_valid, column_valid));
    if (threadIdx.x == 0) p.partials[blockIdx.x] = moments;
  }
}

template <class Tile>
int64_t blocks_per_sample(const ImplicitGemm& g) {
  return row_tiles_per_sample<Tile>(g) * column_tiles<Tile>(g);
}

template <class T, class Tile>
cudaError_t launch_tile(const ConvActParams& p, cudaStream_t stream) {
  return launch_tiles<Tile, TileShared<T, Tile, Tile::kColumns>>(conv_act<T, Tile>, p, stream);
}

}  // namespace

int64_t conv_act_chunks(const ImplicitGemm& g) {
  return use_large_tile(g) ? blocks_per_sample<LargeTile>(g) : blocks_per_sample<SmallTile>(g);
}

cudaError_t conv_act_cuda(const ConvActParams& p, cudaStream_t stream) {
  const bool large = use_large_tile(p.gemm);
  if (p.gemm.dtype == DType::kFloat16)
    return large ? launch_tile<float16, LargeTile>(p, stream)
                 : launch_tile<float16, SmallTile>(p, stream);
  if (p.gemm.dtype == DType::kBFloat16)
    return large ? launch_tile<bfloat16, LargeTile>(p, stream)
                 : launch_tile<bfloat16, SmallTile>(p, stream);
  return cudaErrorInvalidValue;
}

}  // namespace stylemap
