#include "kernels/common/pack.h"
#include "kernels/implicit_gemm/epilogue.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"

namespace stylemap {
namespace {

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) modulate_conv(const ModulateConvParams p) {
  constexpr int kChannels = Tile::kColumns / 2;
  using Shared = TileShared<T, Tile, kChannels>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const int columns_tiles = column_tiles<Tile>(g);
  const int64_t tile = blockIdx.x / columns_tiles;
  const int first_column = blockIdx.x % columns_tiles * Tile::kColumns;
  const int channels = g.columns / 2, first_channel = first_column / 2;
  for (int row = threadIdx.x; row < Tile::kRows; row += Tile::kThreads)
    shared.rows[row] = tile_row<Tile>(g, tile, row);
  __syncthreads();

  float sum[Tile::kM][Tile::kN][4] = {};
  multiply_tile<T, Tile>(g, shared.rows, first_column, shared.stages, sum);

  // The feature map comes in and the result goes out through the same places of the shared tile.
  const auto address = [&](int pixel, int channel) {
    return int64_t{pixel} * channels + first_channel + channel;
  };
  for_each_pack<T, Tile, kChannels>(
      shared, channels - first_channel, [&](int pixel, int channel, T* to) {
        const T* from = static_cast<const T*>(p.map) + address(pixel, channel);
        *reinterpret_cast<Pack<T, 8>*>(to) = *reinterpret_cast<const Pack<T, 8>*>(from);
      });
  __syncthreads();

  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (int n = 0; n < Tile::kN; n += 2) {
    const int column = first_column + sum_column<Tile>(n, lane, warp);
    if (column >= g.columns) continue;
    // Columns come in packs of gamma and beta, see implicit_gemm.h.
    const int channel = column / (2 * kModulationPack) * kModulationPack + column % kModulationPack;
    const int statistic[2] = {channel / (channels / p.statistics),
                              (channel + 1) / (channels / p.statistics)};
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = sum_row<Tile>(m, half, lane, warp);
        if (shared.rows[row] < 0) continue;
        const int sample = shared.rows[row] / (g.out_height * g.out_width);
        auto& pair = *reinterpret_cast<Pack<T, 2>*>(shared.out + row * Shared::kPitch + channel -
                                                    first_channel);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int s = (p.across_samples ? 0 : sample * p.statistics) + statistic[i];
          const float gamma = sum[m][n][2 * half + i] + (g.bias ? g.bias[column + i] : 0);
          const float beta =
              sum[m][n + 1][2 * half + i] + (g.bias ? g.bias[column + i + kModulationPack] : 0);
          const float normalised = (load(pair.value[i]) - p.mean[s]) * p.rstd[s];
          store(pair.value[i], normalised * gamma + beta);
        }
      }
  }
  __syncthreads();
  for_each_pack<T, Tile, kChannels>(
      shared, channels - first_channel, [&](int pixel, int channel, const T* from) {
        T* to = static_cast<T*>(p.y) + address(pixel, channel);
        *reinterpret_cast<Pack<T, 8>*>(to) = *reinterpret_cast<const Pack<T, 8>*>(from);
      });
}

template <class T, class Tile>
cudaError_t launch_tile(const ModulateConvParams& p, cudaStream_t stream) {
  return launch_tiles<Tile, TileShared<T, Tile, Tile::kColumns / 2>>(modulate_conv<T, Tile>, p, stream);
}

}  // namespace

cudaError_t modulate_conv_cuda(const ModulateConvParams& p, cudaStream_t stream) {
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
