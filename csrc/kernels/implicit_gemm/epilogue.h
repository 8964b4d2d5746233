// What both epilogues share: the tile in shared memory on its way to memory in 16-byte accesses.
#pragma once

#include "kernels/common/pack.h"
#include "kernels/implicit_gemm/choice.h"
#include "kernels/implicit_gemm/mainloop.h"

namespace stylemap {

template <class T, class Tile, int kColumns>
struct TileShared {
  // The pitch moves each row by four banks: the eight rows and four pairs a warp writes at a time
  // fall into 32 different ones.
  static constexpr int kPitch = kColumns + 8;
  union {
    alignas(128) unsigned char stages[Tile::kStages * Tile::kStageBytes];
    T out[Tile::kRows * kPitch];
  };
  InputRow input[Tile::kRows];

  __device__ __forceinline__ void find_rows(const ImplicitGemm& g, const GemmPlan& plan,
                                            const BlockTile& tile) {
    // It takes a thousand cycles, and memory only where rows are listed there.
    if (g.rows) wait_for_earlier_kernels();
    for (int row = threadIdx.x; row < Tile::kRows; row += Tile::kThreads)
      input[row] = input_row(g, plan, tile.phase, tile_row(g, plan, tile, row));
    if (!g.rows) wait_for_earlier_kernels();
    __syncthreads();
  }

  // Calls move(pixel, row, column) for the thread's packs of 8 columns of the tile; pixel is
  // negative where a row is none or the column not below `columns`.
  template <class Move>
  __device__ __forceinline__ void for_each_pack(const ImplicitGemm& g, const GemmPlan& plan,
                                                const BlockTile& tile, int columns,
                                                const Move& move) {
    constexpr int kPacks = kColumns / 8;
    constexpr int kEach = Tile::kRows * kPacks / Tile::kThreads;
    static_assert(kEach * Tile::kThreads == Tile::kRows * kPacks, "as many for every thread");
#pragma unroll 4
    for (int each = 0; each < kEach; ++each) {
      const int i = each * Tile::kThreads + static_cast<int>(threadIdx.x);
      const int row = i / kPacks, column = i % kPacks * 8;
      move(column < columns ? tile_row(g, plan, tile, row) : -1, row, column);
    }
  }

  __device__ __forceinline__ T* at(int row, int column) { return out + row * kPitch + column; }
};

// Row and first column of the pairs of sums that the thread holds in sum[m][n][2 * half].
template <class Tile>
SM_HOST_DEVICE int sum_row(int m, int half, int lane, int warp) {
  return warp / Tile::kWarpsN * Tile::kWarpRows + m * 16 + half * 8 + lane / 4;
}

template <class Tile>
SM_HOST_DEVICE int sum_column(int n, int lane, int warp) {
  return warp % Tile::kWarpsN * Tile::kWarpColumns + n * 8 + lane % 4 * 2;
}

template <class T>
__device__ __forceinline__ void copy_pack(T* to, const T* from) {
  *reinterpret_cast<Pack<T, 8>*>(to) = *reinterpret_cast<const Pack<T, 8>*>(from);
}

inline GemmPlan gemm_plan(const ImplicitGemm& g, int columns, const Choice& choice) {
  GemmPlan plan{};
  const int per_tap = steps_per_tap(g, choice.shape.depth);
  plan.column_tiles = Divisor(ceil_div(columns, choice.shape.columns));
  plan.row_tiles = Divisor(ceil_div(rows_per_sample(g), choice.shape.rows));
  plan.samples = Divisor(separate_samples(g));
  plan.steps_per_tap = Divisor(per_tap);
  for (int odd = 0; odd < 2; ++odd) {
    plan.width[odd] = Divisor(g.phase_width(odd));
    plan.height[odd] = Divisor(g.phase_height(2 * odd));
  }
  plan.out_height = g.out_height();
  plan.out_width = g.out_width();
  plan.rows = static_cast<int>(rows_per_sample(g));
  plan.columns = columns;
  plan.part_steps = static_cast<int>(ceil_div(tap_count(g, 0) * per_tap, choice.parts));
  for (int phase = 0; phase < g.phases(); ++phase)
    for (int t = 0; t < tap_count(g, phase); ++t) {
      const Tap tap = tap_of(g, phase, t);
      plan.taps[tap_slot(phase, t)] = {(tap.dy * g.width + tap.dx) * (g.in_channels / 8),
                                       tap.index * g.in_channels};
    }
  for (int phase = 0; phase < kTransposedPhases; ++phase) {
    const int64_t steps = phase < g.phases() ? tap_count(g, phase) * per_tap : 0;
    const int parts = plan.part_steps ? static_cast<int>(ceil_div(steps, plan.part_steps)) : 0;
    plan.first_slice[phase + 1] = plan.first_slice[phase] + parts;
  }
  return plan;
}

inline int64_t slice_count(const GemmPlan& plan) { return plan.first_slice[kTransposedPhases]; }

// Whether the numbers of a launch fit into the types they are kept in: pixels are counted in 32
// bits, elements of x in 32 bits of 8, elements otherwise in 64.
inline bool counts_fit(const ImplicitGemm& g, int64_t blocks) {
  const int64_t in_pixels = int64_t{g.samples} * g.height * g.width;
  const int64_t out_pixels = int64_t{g.samples} * g.out_height() * g.out_width();
  return blocks <= INT32_MAX && in_pixels <= INT32_MAX && out_pixels <= INT32_MAX &&
         in_pixels * (g.in_channels / 8) < UINT32_MAX && g.row_count <= INT32_MAX;
}

// One block per tile and slice.
template <class Tile, class Shared, class Params, class... More>
cudaError_t launch_tiles(void (*kernel)(Params, GemmPlan, More...), const Params& params,
                         const GemmPlan& plan, cudaStream_t stream, const More&... more) {
  const int64_t blocks =
      int64_t{plan.column_tiles.by} * plan.row_tiles.by * plan.samples.by * slice_count(plan);
  if (blocks == 0) return cudaSuccess;
  if (!counts_fit(params.gemm, blocks)) return cudaErrorInvalidConfiguration;
  const int bytes = sizeof(Shared);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(Tile::kThreads), bytes, stream,
                params, plan, more...);
}

// Calls function(T tag, Tile tag) with the one of Tiles that has the shape.
template <class... Tiles, class Function>
cudaError_t with_tile(DType dtype, const TileShape& shape, const Function& function) {
  cudaError_t error = cudaErrorInvalidValue;
  const auto with_type = [&](auto type) {
    const auto attempt = [&](auto tile) {
      using Tile = typename decltype(tile)::type;
      const bool fits = shape.rows == Tile::kRows && shape.columns == Tile::kColumns;
      if (fits) error = function(type, tile);
      return fits;
    };
    (attempt(TypeTag<Tiles>{}) || ...);
  };
  if (dtype == DType::kFloat16) with_type(TypeTag<float16>{});
  if (dtype == DType::kBFloat16) with_type(TypeTag<bfloat16>{});
  return error;
}

}  // namespace stylemap
