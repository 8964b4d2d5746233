#include "kernels/implicit_gemm/epilogue.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"

namespace stylemap {
namespace {

// Columns alternate between gamma and beta in packs of eight, the width of a product: a channel's
// two values are sums of the same thread.
constexpr int kModulationPack = 8;

SM_HOST_DEVICE int channel_of(int column) {
  return column / (2 * kModulationPack) * kModulationPack + column % kModulationPack;
}

template <class T>
struct ModulationColumns {
  const ModulateConvParams& p;

  __device__ const T* weights(int column) const {
    const ImplicitGemm& g = p.gemm;
    const int channel = channel_of(column);
    if (channel >= g.columns) return nullptr;
    const bool is_beta = column / kModulationPack % 2;
    const T* weights = static_cast<const T*>(is_beta ? p.beta_weight : g.weight);
    return weights + int64_t{channel} * g.size * g.size * g.in_channels;
  }
};

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) modulate_conv(const ModulateConvParams p) {
  constexpr int kChannels = Tile::kColumns / 2;
  using Shared = TileShared<T, Tile, kChannels>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const int channels = g.columns;
  const BlockTile tile = block_tile<Tile>(g, 2 * channels);
  const int first_channel = tile.first_column / 2;
  shared.find_rows(g, tile);
  float sum[Tile::kM][Tile::kN][4] = {};
  multiply_tile<T, Tile>(g, tile, shared.rows, ModulationColumns<T>{p}, shared.stages, sum);

  // The feature map comes in and the result goes out through the same places of the shared tile.
  shared.for_each_pack(channels - first_channel, [&](int pixel, int channel, T* to) {
    const int64_t at = int64_t{pixel} * channels + first_channel + channel;
    copy_pack(to, static_cast<const T*>(p.map) + at);
  });
  __syncthreads();

  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const int pixels = g.height * g.width;
#pragma unroll
  for (int n = 0; n < Tile::kN; n += 2) {
    const int channel = channel_of(tile.first_column + sum_column<Tile>(n, lane, warp));
    if (channel >= channels) continue;
    float gamma_bias[2], beta_bias[2];
    load_pack<2>(static_cast<const T*>(p.gamma_bias) + channel, gamma_bias);
    load_pack<2>(static_cast<const T*>(p.beta_bias) + channel, beta_bias);
    const int64_t statistic[2] = {p.shape.statistic(0, channel), p.shape.statistic(0, channel + 1)};
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = sum_row<Tile>(m, half, lane, warp);
        const int pixel = shared.rows[row];
        if (pixel < 0) continue;
        // groups is 0 where statistics are shared by all samples.
        const int64_t first = pixel / pixels * p.shape.groups;
        float value[2];
        T* const at = shared.out + row * Shared::kPitch + channel - first_channel;
        load_pack<2>(at, value);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int64_t s = first + statistic[i];
          value[i] =
              modulate_element(value[i], sum[m][n][2 * half + i] + gamma_bias[i],
                               sum[m][n + 1][2 * half + i] + beta_bias[i], p.mean[s], p.rstd[s]);
        }
        store_pack<2>(at, value);
      }
  }
  __syncthreads();
  shared.for_each_pack(channels - first_channel, [&](int pixel, int channel, const T* from) {
    const int64_t at = int64_t{pixel} * channels + first_channel + channel;
    copy_pack(static_cast<T*>(p.y) + at, from);
  });
}

}  // namespace

cudaError_t modulate_conv_cuda(const ModulateConvParams& p, cudaStream_t stream) {
  if (!aligned_to_pack(p.beta_weight, p.map, p.y)) return cudaErrorInvalidValue;
  return with_tile(p.gemm, 2 * p.gemm.columns, [&](auto type, auto tile_type) {
    using T = typename decltype(type)::type;
    using Tile = typename decltype(tile_type)::type;
    using Shared = TileShared<T, Tile, Tile::kColumns / 2>;
    return launch_tiles<Tile, Shared>(modulate_conv<T, Tile>, p, 2 * p.gemm.columns, stream);
  });
}

}  // namespace stylemap
