// Sums split over blocks. A small layer has too few tiles for a device: the steps of every tile are
// shared out to several blocks then, which leave their sums in memory, and a second kernel joins
// them, part after part. The order is fixed, so results are the same bits every time.
//
// Sums lie as [slices][separate samples][rows_per_sample][columns of the product], in float32.
#pragma once

#include "kernels/implicit_gemm/choice.h"
#include "kernels/implicit_gemm/epilogue.h"

namespace stylemap {

// Leaves the block's sums in memory.
template <class Tile>
__device__ __forceinline__ void store_sums(float* sums, const GemmPlan& plan, const BlockTile& tile,
                                           const float (&sum)[Tile::kM][Tile::kN][4]) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const int64_t line =
      (int64_t{tile.slice} * plan.samples.by + tile.sample) * plan.rows + tile.first_row;
  float* const first = sums + line * plan.columns + tile.first_column;
#pragma unroll
  for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = sum_row<Tile>(m, half, lane, warp);
      if (tile.first_row + row >= plan.rows) continue;
      float* const to = first + int64_t{row} * plan.columns;
#pragma unroll
      for (int n = 0; n < Tile::kN; ++n) {
        const int column = sum_column<Tile>(n, lane, warp);
        if (tile.first_column + column >= plan.columns) continue;
        *reinterpret_cast<float2*>(to + column) =
            float2{sum[m][n][2 * half], sum[m][n][2 * half + 1]};
      }
    }
}

constexpr int kJoinThreads = 128;
constexpr int kJoinWidth = 4;  // columns of a thread

// Which rows and columns a block of the join has: packs of kJoinWidth columns beside each other,
// as many as a power of two below its threads, and rows below each other.
struct JoinPlan {
  int pack_shift;  // log2 of the packs
  Divisor column_blocks;
  Divisor row_blocks;

  JoinPlan() = default;
  JoinPlan(const ImplicitGemm& g, int columns) : pack_shift(0) {
    const int packs = columns / kJoinWidth;
    while ((1 << pack_shift) < packs && (1 << pack_shift) < kJoinThreads) ++pack_shift;
    column_blocks = Divisor(ceil_div(packs, 1 << pack_shift));
    row_blocks = Divisor(ceil_div(rows_per_sample(g), kJoinThreads >> pack_shift));
  }

  int64_t blocks_per_sample() const { return int64_t{column_blocks.by} * row_blocks.by; }
};

// What a thread of the join has.
struct JoinPlace {
  int column;
  int row;
  int sample;
};

__device__ __forceinline__ JoinPlace join_place(const JoinPlan& join, uint32_t block) {
  const Split column = join.column_blocks(block);
  const Split row = join.row_blocks(column.quotient);
  const int packs = 1 << join.pack_shift, thread = static_cast<int>(threadIdx.x);
  const int pack = static_cast<int>(column.remainder) * packs + (thread & (packs - 1));
  const int rows = kJoinThreads >> join.pack_shift;
  return {pack * kJoinWidth, static_cast<int>(row.remainder) * rows + (thread >> join.pack_shift),
          static_cast<int>(row.quotient)};
}

// The pixel of a thread's row, as tile_row has it.
__device__ __forceinline__ int join_pixel(const ImplicitGemm& g, const GemmPlan& plan,
                                          const JoinPlace& place) {
  if (place.row >= plan.rows) return -1;
  if (g.rows) return g.rows[place.row];
  const int pixels = plan.phase_pixels(0);
  return place.row < pixels ? place.sample * pixels + place.row : -1;
}

__device__ __forceinline__ void add(float (&total)[kJoinWidth], const float4& value) {
  total[0] += value.x;
  total[1] += value.y;
  total[2] += value.z;
  total[3] += value.w;
}

// Parts are loaded kTogether at a time.
template <int kTogether, int kSets>
__device__ __forceinline__ void add_parts_of(const float* from, int64_t stride, int parts,
                                             const int (&columns)[kSets],
                                             float (&total)[kSets][kJoinWidth]) {
#pragma unroll 1
  for (int part = 0; part < parts; part += kTogether, from += kTogether * stride) {
    float4 value[kTogether][kSets];
#pragma unroll
    for (int i = 0; i < kTogether; ++i)
#pragma unroll
      for (int set = 0; set < kSets; ++set)
        value[i][set] = part + i < parts
                            ? *reinterpret_cast<const float4*>(from + i * stride + columns[set])
                            : float4{0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < kTogether; ++i)
#pragma unroll
      for (int set = 0; set < kSets; ++set) add(total[set], value[i][set]);
  }
}

// The sums of all parts, in order, of kSets groups of kJoinWidth columns that begin at `columns`.
// All loads are under way together, of no more parts than there are about: the instructions of
// absent ones cost as much.
template <int kSets>
__device__ __forceinline__ void add_parts(const float* sums, const GemmPlan& plan,
                                          const JoinPlace& place, const int (&columns)[kSets],
                                          float (&total)[kSets][kJoinWidth]) {
  const int parts = plan.first_slice[1];
  const int64_t stride = int64_t{plan.samples.by} * plan.rows * plan.columns;
  const float* const from = sums + (int64_t{place.sample} * plan.rows + place.row) * plan.columns;
  if (kSets == 1 && parts <= 2)
    add_parts_of<2>(from, stride, parts, columns, total);
  else if (parts <= 4)
    add_parts_of<4>(from, stride, parts, columns, total);
  else
    add_parts_of<8>(from, stride, parts, columns, total);
}

template <class Params, class... More>
cudaError_t launch_join(void (*kernel)(Params, GemmPlan, JoinPlan, More...), const Params& params,
                        const GemmPlan& plan, cudaStream_t stream, const More&... more) {
  const ImplicitGemm& g = params.gemm;
  const JoinPlan join(g, params.gemm.columns);
  const int64_t blocks = join.blocks_per_sample() * separate_samples(g);
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kJoinThreads), 0, stream, params,
                plan, join, more...);
}

}  // namespace stylemap
