#include "kernels/implicit_gemm/conv_act.h"
#include "kernels/implicit_gemm/conv_up.h"

namespace stylemap {
namespace {

template <class T, class Tile, bool kSplit>
__global__ void __launch_bounds__(Tile::kThreads, 2)
    conv_act(const __grid_constant__ ConvActParams p, const __grid_constant__ GemmPlan plan) {
  using Shared = TileShared<T, Tile, Tile::kColumns>;
  SM_DYNAMIC_SHARED(memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const ImplicitGemm& g = p.gemm;
  const BlockTile tile = block_tile<Tile>(g, plan, blockIdx.x);
  if (tile_is_empty(g, plan, tile)) return;
  shared.find_rows(g, plan, tile);
  float sum[Tile::kM][Tile::kN][4] = {};
  multiply_tile<T, Tile>(g, plan, tile, shared.input, PlainWeights<T>{g}, shared.stages, sum);
  if constexpr (kSplit) {
    store_sums<Tile>(g.sums, plan, tile, sum);
    return;
  }

  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
#pragma unroll
  for (int n = 0; n < Tile::kN; ++n) {
    const int column = sum_column<Tile>(n, lane, warp);
    if (tile.first_column + column >= g.columns) continue;
    float bias[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (p.bias) bias[i] = load(static_cast<const T*>(p.bias)[tile.first_column + column + i]);
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
  Moments<float> moments{};
  const int columns = g.columns - tile.first_column;
  T* const y = static_cast<T*>(p.y) + tile.first_column;
  shared.for_each_pack(g, plan, tile, columns, [&](int index, int row, int column) {
    if (index < 0) return;
    T* const from = shared.at(row, column);
    int64_t pixel = index;
    if (g.transposed || p.skip) {
      const OutPixel out = out_pixel(plan, tile.phase, index);
      pixel = whole_pixel(plan, g.transposed, tile.phase, out);
      if (p.skip) {
        float value[8];
        load_pack<8>(from, value);
        add_skip<T>(p, plan, out, tile.first_column + column, value);
        store_pack<8>(from, value);
      }
    }
    if (p.partials) moments = join(moments, moments_of_pack<8>(from));
    copy_pack(y + pixel * g.columns + column, from);
  });
  if (p.partials) {
    // In memory that is free by now: there is none to spare where two blocks share 100 KiB.
    moments = block_join<Tile::kThreads>(moments, reinterpret_cast<Moments<float>*>(shared.input));
    if (threadIdx.x == 0) p.partials[blockIdx.x] = moments;
  }
}

template <class T>
__global__ void __launch_bounds__(kJoinThreads)
    conv_act_join(const __grid_constant__ ConvActParams p, const __grid_constant__ GemmPlan plan,
                  const __grid_constant__ JoinPlan join_plan) {
  wait_for_earlier_kernels();
  join_block<T>(p, plan, join_plan, blockIdx.x);
}

}  // namespace

bool implicit_gemm_suits(const ImplicitGemm& g) {
  return (g.dtype == DType::kFloat16 || g.dtype == DType::kBFloat16) && g.in_channels % 8 == 0 &&
         g.columns % 8 == 0 && (g.size == 1 || g.size == 3) &&
         (g.tile == 0 || g.tile == 64 || g.tile == 128) && aligned_to_pack(g.x, g.weight);
}

int64_t implicit_gemm_workspace(const ImplicitGemm& gemm, int columns) {
  if (takes_taps(gemm)) return conv_up_workspace(gemm);
  ImplicitGemm g = gemm;
  float any = 0;
  g.sums = &any;  // where there is memory, would it be used?
  const Choice choice = choose(g, columns, columns == g.columns);
  if (choice.parts == 1) return 0;
  const GemmPlan plan = gemm_plan(g, columns, choice);
  return slice_count(plan) * separate_samples(g) * plan.rows * columns;
}

int64_t conv_act_chunks(const ImplicitGemm& g) {
  const Choice choice = choose(g, g.columns, true);
  if (choice.parts > 1) return JoinPlan(g, g.columns).blocks_per_sample();
  return ceil_div(rows_per_sample(g), choice.shape.rows) *
         ceil_div(g.columns, choice.shape.columns);
}

cudaError_t conv_act_cuda(const ConvActParams& p, cudaStream_t stream) {
  if (!implicit_gemm_suits(p.gemm)) return cudaErrorInvalidValue;
  if (p.partials && (p.gemm.rows || p.gemm.transposed)) return cudaErrorInvalidValue;
  if (!aligned_to_pack(p.y, p.skip) || (p.skip && p.gemm.transposed)) return cudaErrorInvalidValue;
  const ImplicitGemm& g = p.gemm;
  if (g.sums && takes_taps(g)) return conv_up_cuda(p, stream);
  const Choice choice = choose(g, g.columns, true);
  return with_tile<Tile64, Tile128, Tile144>(g.dtype, choice.shape, [&](auto type, auto tile_type) {
    using T = typename decltype(type)::type;
    using Tile = typename decltype(tile_type)::type;
    using Shared = TileShared<T, Tile, Tile::kColumns>;
    const GemmPlan plan = gemm_plan(g, g.columns, choice);
    const auto multiply = choice.parts == 1 ? conv_act<T, Tile, false> : conv_act<T, Tile, true>;
    const cudaError_t error = launch_tiles<Tile, Shared>(multiply, p, plan, stream);
    if (error != cudaSuccess || choice.parts == 1) return error;
    return launch_join(conv_act_join<T>, p, plan, stream);
  });
}

}  // namespace stylemap
