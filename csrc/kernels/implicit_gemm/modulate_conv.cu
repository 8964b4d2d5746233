#include "kernels/implicit_gemm/implicit_gemm_cuda.h"
#include "kernels/implicit_gemm/split.h"

namespace stylemap {
namespace {

// Columns alternate between gamma and beta in packs of eight, the width of a product: a channel's
// two values are sums of the same thread.
constexpr int kModulationPack = 8;

SM_HOST_DEVICE int channel_of(int column) {
  return column / (2 * kModulationPack) * kModulationPack + column % kModulationPack;
}

// Of its gamma; that of beta is a pack further.
SM_HOST_DEVICE int column_of(int channel) {
  return channel / kModulationPack * 2 * kModulationPack + channel % kModulationPack;
}

template <class T>
struct ModulationWeights {
  const ModulateConvParams& p;

  __device__ int count() const { return 2 * p.gemm.columns; }
  __device__ int64_t next(int columns) const {
    const ImplicitGemm& g = p.gemm;
    return int64_t{columns / 2} * g.size * g.size * g.in_channels;
  }
  __device__ const T* at(int column) const {
    const ImplicitGemm& g = p.gemm;
    const bool is_beta = column / kModulationPack % 2;
    return static_cast<const T*>(is_beta ? p.beta_weight : g.weight) +
           int64_t{channel_of(column)} * g.size * g.size * g.in_channels;
  }
};

struct Norm {
  float mean;
  float rstd;
};

// Finds statistics without a division.
struct StatisticPlan {
  Divisor pixels;          // of a sample
  Divisor group_channels;  // channels that share a statistic
  int groups;              // 0 where statistics are shared by all samples, one per channel

  explicit StatisticPlan(const NormShape& shape)
      : pixels(shape.pixels),
        group_channels(shape.groups == 0 ? 1 : shape.channels / shape.groups),
        groups(static_cast<int>(shape.groups)) {}

  __device__ int sample(int pixel) const {
    return static_cast<int>(pixels(static_cast<uint32_t>(pixel)).quotient);
  }
  __device__ Norm at(const ModulateConvParams& p, int sample, int channel) const {
    const uint32_t group = group_channels(static_cast<uint32_t>(channel)).quotient;
    const int64_t s = int64_t{sample} * groups + group;
    return {p.mean[s], p.rstd[s]};
  }
};

template <class T, class Tile, bool kSplit>
__global__ void __launch_bounds__(Tile::kThreads, 2)
    modulate_conv(const __grid_constant__ ModulateConvParams p,
                  const __grid_constant__ GemmPlan plan,
                  const __grid_constant__ StatisticPlan statistics) {
  static_assert(Tile::kRowsPerCopy % (2 * kModulationPack) == 0,
                "a thread's columns are all of gamma, or all of beta");
  constexpr int kChannels = Tile::kColumns / 2;
  using Shared = TileShared<T, Tile, kChannels>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const int channels = g.columns;
  const BlockTile tile = block_tile<Tile>(g, plan, blockIdx.x);
  const int first_channel = tile.first_column / 2;
  shared.find_rows(g, plan, tile);
  float sum[Tile::kM][Tile::kN][4] = {};
  multiply_tile<T, Tile>(g, plan, tile, shared.input, ModulationWeights<T>{p}, shared.stages, sum);
  if constexpr (kSplit) {
    store_sums<Tile>(g.sums, plan, tile, sum);
    return;
  }

  // The feature map comes in and the result goes out through the same places of the shared tile.
  const T* const map = static_cast<const T*>(p.map) + first_channel;
  const auto address = [&](int pixel, int channel) { return int64_t{pixel} * channels + channel; };
  shared.for_each_pack(g, plan, tile, channels - first_channel,
                       [&](int pixel, int row, int channel) {
                         copy_async(shared_address(shared.at(row, channel)),
                                    map + (pixel < 0 ? 0 : address(pixel, channel)), pixel >= 0);
                       });
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();

  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (int n = 0; n < Tile::kN; n += 2) {
    const int channel = channel_of(tile.first_column + sum_column<Tile>(n, lane, warp));
    if (channel >= channels) continue;
    float bias[2][2];
    Norm norm[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      bias[0][i] = load(static_cast<const T*>(p.gamma_bias)[channel + i]);
      bias[1][i] = load(static_cast<const T*>(p.beta_bias)[channel + i]);
      norm[i] = statistics.at(p, tile.sample, channel + i);
    }
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = sum_row<Tile>(m, half, lane, warp);
        if (g.rows) {  // listed rows are of any sample
          const int pixel = tile_row(g, plan, tile, row);
          const int sample = pixel < 0 ? 0 : statistics.sample(pixel);
#pragma unroll
          for (int i = 0; i < 2; ++i) norm[i] = statistics.at(p, sample, channel + i);
        }
        float value[2];
        T* const at = shared.at(row, channel - first_channel);
        load_pack<2>(at, value);
#pragma unroll
        for (int i = 0; i < 2; ++i)
          value[i] = modulate_element(value[i], sum[m][n][2 * half + i] + bias[0][i],
                                      sum[m][n + 1][2 * half + i] + bias[1][i], norm[i].mean,
                                      norm[i].rstd);
        store_pack<2>(at, value);
      }
  }
  __syncthreads();
  T* const y = static_cast<T*>(p.y) + first_channel;
  shared.for_each_pack(g, plan, tile, channels - first_channel,
                       [&](int pixel, int row, int channel) {
                         if (pixel >= 0)
                           copy_pack(y + address(pixel, channel), shared.at(row, channel));
                       });
}

template <class T>
__global__ void __launch_bounds__(kJoinThreads)
    modulate_conv_join(const __grid_constant__ ModulateConvParams p,
                       const __grid_constant__ GemmPlan plan,
                       const __grid_constant__ JoinPlan join_plan,
                       const __grid_constant__ StatisticPlan statistics) {
  wait_for_earlier_kernels();
  const ImplicitGemm& g = p.gemm;
  const int channels = g.columns;
  const JoinPlace place = join_place(join_plan, blockIdx.x);
  const int channel = place.column;
  const int pixel = channel < channels ? join_pixel(g, plan, place) : -1;
  if (pixel < 0) return;
  const int64_t at = int64_t{pixel} * channels + channel;
  float value[kJoinWidth], maps[2][kJoinWidth] = {};
  load_pack<kJoinWidth>(static_cast<const T*>(p.map) + at, value);
  const int column = column_of(channel);
  add_parts(g.sums, plan, place, {column, column + kModulationPack}, maps);
  const int sample = g.rows ? statistics.sample(pixel) : place.sample;
#pragma unroll
  for (int i = 0; i < kJoinWidth; ++i) {
    const Norm norm = statistics.at(p, sample, channel + i);
    value[i] = modulate_element(
        value[i], maps[0][i] + load(static_cast<const T*>(p.gamma_bias)[channel + i]),
        maps[1][i] + load(static_cast<const T*>(p.beta_bias)[channel + i]), norm.mean, norm.rstd);
  }
  store_pack<kJoinWidth>(static_cast<T*>(p.y) + at, value);
}

}  // namespace

bool modulate_conv_suits(const ModulateConvParams& p) {
  return implicit_gemm_suits(p.gemm) && aligned_to_pack(p.beta_weight, p.map, p.y);
}

cudaError_t modulate_conv_cuda(const ModulateConvParams& p, cudaStream_t stream) {
  if (!modulate_conv_suits(p)) return cudaErrorInvalidValue;
  const ImplicitGemm& g = p.gemm;
  const Choice choice = choose(g, 2 * g.columns, false);
  return with_tile<Tile64, Tile128>(g.dtype, choice.shape, [&](auto type, auto tile_type) {
    using T = typename decltype(type)::type;
    using Tile = typename decltype(tile_type)::type;
    using Shared = TileShared<T, Tile, Tile::kColumns / 2>;
    const GemmPlan plan = gemm_plan(g, 2 * g.columns, choice);
    const StatisticPlan statistics(p.shape);
    const auto multiply =
        choice.parts == 1 ? modulate_conv<T, Tile, false> : modulate_conv<T, Tile, true>;
    const cudaError_t error = launch_tiles<Tile, Shared>(multiply, p, plan, stream, statistics);
    if (error != cudaSuccess || choice.parts == 1) return error;
    return launch_join(modulate_conv_join<T>, p, plan, stream, statistics);
  });
}

}  // namespace stylemap
