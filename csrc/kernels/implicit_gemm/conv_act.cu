#include "kernels/bias_act/bias_act.h"
#include "kernels/common/reduce.h"
#include "kernels/implicit_gemm/epilogue.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"

namespace stylemap {
namespace {

template <class T>
struct PlainColumns {
  const ImplicitGemm& g;

  __device__ const T* weights(int column) const {
    if (column >= g.columns) return nullptr;
    return static_cast<const T*>(g.weight) + int64_t{column} * g.size * g.size * g.in_channels;
  }
};

// value += the upsampled skip at a pixel of the output.
template <class T>
__device__ __forceinline__ void add_skip(const ConvActParams& p, const OutPixel& out, int column,
                                         float (&value)[8]) {
  const int height = p.gemm.out_height() / 2, width = p.gemm.out_width() / 2;
  const SkipTaps rows = skip_taps(out.y), columns = skip_taps(out.x);
#pragma unroll
  for (int tap = 0; tap < 4; ++tap) {
    const int y = tap / 2 ? rows.far : rows.near, x = tap % 2 ? columns.far : columns.near;
    if (y < 0 || y >= height || x < 0 || x >= width) continue;
    const int64_t pixel = (int64_t{out.sample} * height + y) * width + x;
    float skip[8];
    load_pack<8>(static_cast<const T*>(p.skip) + pixel * p.gemm.columns + column, skip);
    const float weight = (tap / 2 ? 0.25f : 0.75f) * (tap % 2 ? 0.25f : 0.75f);
#pragma unroll
    for (int i = 0; i < 8; ++i) value[i] += weight * skip[i];
  }
}

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) conv_act(const ConvActParams p) {
  using Shared = TileShared<T, Tile, Tile::kColumns>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const BlockTile tile = block_tile<Tile>(g, g.columns);
  shared.find_rows(g, tile);
  float sum[Tile::kM][Tile::kN][4] = {};
  multiply_tile<T, Tile>(g, tile, shared.rows, PlainColumns<T>{g}, shared.stages, sum);

  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (int n = 0; n < Tile::kN; ++n) {
    const int column = sum_column<Tile>(n, lane, warp);
    float bias[2] = {0, 0};
    if (p.bias && tile.first_column + column < g.columns)
      load_pack<2>(static_cast<const T*>(p.bias) + tile.first_column + column, bias);
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float value[2];
#pragma unroll
        for (int i = 0; i < 2; ++i)
          value[i] = bias_act_element(sum[m][n][2 * half + i], bias[i], p.negative_slope, p.gain);
        store_pack<2>(shared.out + sum_row<Tile>(m, half, lane, warp) * Shared::kPitch + column,
                      value);
      }
  }
  __syncthreads();
  const int step = g.transposed ? 2 : 1;
  Moments<float> moments{};
  shared.for_each_pack(g.columns - tile.first_column, [&](int row, int column, T* from) {
    const OutPixel out = out_pixel(g, tile.phase, row);
    if (p.skip) {
      float value[8];
      load_pack<8>(from, value);
      add_skip<T>(p, out, tile.first_column + column, value);
      store_pack<8>(from, value);
    }
    if (p.partials) moments = join(moments, moments_of_pack<8>(from));
    const int64_t line = int64_t{out.sample} * g.out_height() + out.y * step + tile.phase / 2;
    const int64_t pixel = line * g.out_width() + out.x * step + tile.phase % 2;
    copy_pack(static_cast<T*>(p.y) + pixel * g.columns + tile.first_column + column, from);
  });
  if (p.partials) {
    moments = block_join<Tile::kThreads>(moments);
    if (threadIdx.x == 0) p.partials[blockIdx.x] = moments;
  }
}

}  // namespace

bool implicit_gemm_suits(const ImplicitGemm& g) {
  return (g.dtype == DType::kFloat16 || g.dtype == DType::kBFloat16) && g.in_channels % 8 == 0 &&
         g.columns % 8 == 0 && (g.size == 1 || g.size == 3) &&
         (g.tile == 0 || g.tile == 64 || g.tile == 128) && aligned_to_pack(g.x, g.weight);
}

int64_t conv_act_chunks(const ImplicitGemm& g) {
  const int64_t blocks = use_large_tile(g, g.columns) ? block_count<LargeTile>(g, g.columns)
                                                      : block_count<SmallTile>(g, g.columns);
  return g.samples == 0 ? 0 : blocks / g.samples;
}

cudaError_t conv_act_cuda(const ConvActParams& p, cudaStream_t stream) {
  if (p.partials && (p.gemm.rows || p.gemm.transposed)) return cudaErrorInvalidValue;
  if (!aligned_to_pack(p.y, p.skip) || (p.skip && p.gemm.transposed)) return cudaErrorInvalidValue;
  return with_tile(p.gemm, p.gemm.columns, [&](auto type, auto tile_type) {
    using T = typename decltype(type)::type;
    using Tile = typename decltype(tile_type)::type;
    using Shared = TileShared<T, Tile, Tile::kColumns>;
    return launch_tiles<Tile, Shared>(conv_act<T, Tile>, p, p.gemm.columns, stream);
  });
}

}  // namespace stylemap
