#include <algorithm>

#include "kernels/implicit_gemm/conv_act.h"

namespace stylemap {
namespace {

// Several products, numbered in one grid: block b belongs to the last whose first block is at most
// b.
struct Group {
  int count;
  int first_block[kMostGrouped];
  int first_join[kMostGrouped];
  ConvActParams params[kMostGrouped];
  GemmPlan plan[kMostGrouped];
  JoinPlan join[kMostGrouped];
};

__device__ __forceinline__ int member_of(const int (&first)[kMostGrouped], int count, int block) {
  int member = 0;
  for (int i = 1; i < count; ++i) member += block >= first[i] ? 1 : 0;
  return member;
}

// Whether any thread of the block says so. Every warp writes its own word: one word for all would
// be a race, though all write the same.
__device__ __forceinline__ bool any_thread(bool said) {
  constexpr int kWarps = GroupTile::kThreads / kWarpSize;
  using Words = int[kWarps];
  SM_SHARED(Words, of_warp);
  int any = said ? 1 : 0;
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    any |= __shfl_xor_sync(0xffffffffu, any, distance);
  if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = any;
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) any |= of_warp[warp];
  return any != 0;
}

template <class T>
__global__ void __launch_bounds__(GroupTile::kThreads, 2)
    conv_rows_group(const __grid_constant__ Group group) {
  using Shared = TileShared<T, GroupTile, GroupTile::kColumns>;
  SM_DYNAMIC_SHARED(memory);
  wait_for_earlier_kernels();
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const int member = member_of(group.first_block, group.count, static_cast<int>(blockIdx.x));
  const ImplicitGemm& g = group.params[member].gemm;
  const GemmPlan& plan = group.plan[member];
  const BlockTile tile = block_tile<GroupTile>(g, plan, blockIdx.x - group.first_block[member]);
  // Lists have room for more rows than there are: a tile without any costs nothing.
  bool listed = false;
  for (int row = threadIdx.x; row < GroupTile::kRows; row += GroupTile::kThreads)
    listed = listed || tile_row(g, plan, tile, row) >= 0;
  if (!any_thread(listed)) return;
  shared.find_rows(g, plan, tile);
  float sum[GroupTile::kM][GroupTile::kN][4] = {};
  multiply_tile<T, GroupTile>(g, plan, tile, shared.input, PlainWeights<T>{g}, shared.stages, sum);
  store_sums<GroupTile>(g.sums, plan, tile, sum);
}

template <class T>
__global__ void __launch_bounds__(kJoinThreads)
    conv_rows_group_join(const __grid_constant__ Group group) {
  wait_for_earlier_kernels();
  const int member = member_of(group.first_join, group.count, static_cast<int>(blockIdx.x));
  join_block<T>(group.params[member], group.plan[member], group.join[member],
                blockIdx.x - group.first_join[member]);
}

Choice member_choice(const ImplicitGemm& g) {
  return {kGroupShape, static_cast<int>(ceil_div(step_count(g, GroupTile::kDepth), kGroupSteps))};
}

int64_t sums_of(const ImplicitGemm& g, const GemmPlan& plan) {
  return slice_count(plan) * plan.rows * g.columns;
}

bool groups(const ConvActParams& p, DType dtype) {
  const ImplicitGemm& g = p.gemm;
  return implicit_gemm_suits(g) && g.dtype == dtype && g.rows && !g.transposed && !p.skip &&
         !p.partials && aligned_to_pack(p.y);
}

}  // namespace

int64_t conv_rows_group_workspace(const ConvActParams* params, int count) {
  int64_t elements = 0;
  for (int i = 0; i < count; ++i) {
    const ImplicitGemm& g = params[i].gemm;
    elements += sums_of(g, gemm_plan(g, g.columns, member_choice(g)));
  }
  return elements;
}

cudaError_t conv_rows_group_cuda(const ConvActParams* params, int count, float* sums,
                                 cudaStream_t stream) {
  if (count < 1 || count > kMostGrouped) return cudaErrorInvalidValue;
  Group group{};
  int64_t blocks = 0, joins = 0;
  for (int i = 0; i < count; ++i) {
    if (!groups(params[i], params[0].gemm.dtype)) return cudaErrorInvalidValue;
    const int at = group.count++;
    ConvActParams& p = group.params[at] = params[i];
    const GemmPlan plan = gemm_plan(p.gemm, p.gemm.columns, member_choice(p.gemm));
    p.gemm.sums = sums;
    sums += sums_of(p.gemm, plan);
    group.plan[at] = plan;
    group.join[at] = JoinPlan(p.gemm, p.gemm.columns);
    group.first_block[at] = static_cast<int>(blocks);
    group.first_join[at] = static_cast<int>(joins);
    blocks += int64_t{plan.column_tiles.by} * plan.row_tiles.by * slice_count(plan);
    joins += group.join[at].blocks_per_sample();
    if (!counts_fit(p.gemm, std::max(blocks, joins))) return cudaErrorInvalidConfiguration;
  }
  if (blocks == 0) return cudaSuccess;
  const auto run = [&](auto type) {
    using T = typename decltype(type)::type;
    const int bytes = sizeof(TileShared<T, GroupTile, GroupTile::kColumns>);
    cudaError_t error = cudaFuncSetAttribute(conv_rows_group<T>,
                                             cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
    error = launch(conv_rows_group<T>, dim3(static_cast<unsigned>(blocks)),
                   dim3(GroupTile::kThreads), bytes, stream, group);
    if (error != cudaSuccess) return error;
    return launch(conv_rows_group_join<T>, dim3(static_cast<unsigned>(joins)), dim3(kJoinThreads),
                  0, stream, group);
  };
  return params[0].gemm.dtype == DType::kFloat16 ? run(TypeTag<float16>{})
                                                 : run(TypeTag<bfloat16>{});
}

}  // namespace stylemap
