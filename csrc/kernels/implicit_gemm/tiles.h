// How the product is cut into tiles and slices, and which pixel and channel a row and column of a
// tile are.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/implicit_gemm/implicit_gemm.h"

namespace stylemap {

// A block computes kRows x kColumns with kWarpsM x kWarpsN warps.
template <int kRowsOfTile, int kColumnsOfTile, int kWarpsDown, int kWarpsAcross, int kDepthOfStep,
          int kStagesOfRing>
struct Tile {
  static constexpr int kRows = kRowsOfTile, kColumns = kColumnsOfTile;
  static constexpr int kWarpsM = kWarpsDown, kWarpsN = kWarpsAcross;
  static constexpr int kThreads = kWarpsDown * kWarpsAcross * kWarpSize;
  static constexpr int kDepth = kDepthOfStep;  // input channels per step
  static constexpr int kStages = kStagesOfRing;
  static constexpr int kWarpRows = kRows / kWarpsM, kWarpColumns = kColumns / kWarpsN;
  static constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;  // products of a warp per 16
  static constexpr int kChunks = kDepth / 8;                        // 16-byte chunks of a row
  static constexpr int kRowBytes = kDepth * 2;
  static constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;
  static constexpr int kRowsPerCopy = kThreads / kChunks;

  static_assert(kDepth == 32 || kDepth == 64, "stage_offset knows rows of 64 and 128 bytes");
  static_assert(kThreads % kChunks == 0 && kRowsPerCopy % 8 == 0,
                "a thread's rows lie at the same place of their groups of eight");
  static_assert(kN % 2 == 0, "one load brings the fragments of two products, and gamma and beta");
};

// Rows that tiles of a phase have to cover, per sample: those of the largest phase.
SM_HOST_DEVICE int64_t rows_per_sample(const ImplicitGemm& g) {
  return g.rows ? g.row_count : int64_t{g.phase_height(0)} * g.phase_width(0);
}

// Samples that tiles are cut from one by one, for the statistics' sake. Listed rows are one list.
SM_HOST_DEVICE int separate_samples(const ImplicitGemm& g) { return g.rows ? 1 : g.samples; }

inline int steps_per_tap(const ImplicitGemm& g, int depth) {
  return static_cast<int>(ceil_div(g.in_channels, depth));
}

// How far a tap's pixel lies from that of tap (0, 0), in 16 bytes, and its weights from those of a
// column's first tap, in elements.
struct TapPlace {
  int32_t packs;
  int32_t weights;
};

constexpr int kMostTaps =
    16;  // 9 of a plain convolution; up to 4 of each phase of a transposed one

SM_HOST_DEVICE int tap_slot(int phase, int t) { return phase * 4 + t; }

// What a launch works out once for all of its threads.
struct GemmPlan {
  Divisor column_tiles;
  Divisor row_tiles;
  Divisor samples;
  Divisor steps_per_tap;
  Divisor width[2];  // of the even and the odd phases
  Divisor height[2];
  int out_height;
  int out_width;
  int rows;        // rows_per_sample
  int columns;     // of the product
  int part_steps;  // steps of a part; the last part of a phase may have fewer
  // Slices are the parts of the first phase, then of the second, and so on: where each begins, and
  // their number.
  int first_slice[kTransposedPhases + 1];
  TapPlace taps[kMostTaps];  // by tap_slot

  SM_HOST_DEVICE int phase_pixels(int phase) const {
    return static_cast<int>(height[phase / 2].by * width[phase % 2].by);
  }
};

// What the block computes. Blocks are numbered columns first, so that those running together share
// their rows' pixels while all weights stay in the second-level cache; the phase with the most taps
// comes first.
struct BlockTile {
  int first_column;
  int first_row;
  int sample;
  int phase;
  int slice;
  int first_step;  // of all steps of the phase
  int steps;
};

template <class Tile>
__device__ __forceinline__ BlockTile block_tile(const ImplicitGemm& g, const GemmPlan& plan,
                                                uint32_t block) {
  const Split column = plan.column_tiles(block);
  const Split row = plan.row_tiles(column.quotient);
  const Split sample = plan.samples(row.quotient);
  const int slice = static_cast<int>(sample.quotient);
  int phase = 0;
#pragma unroll
  for (int i = 1; i < kTransposedPhases; ++i) phase += slice >= plan.first_slice[i] ? 1 : 0;
  const int first = (slice - plan.first_slice[phase]) * plan.part_steps;
  const int all = tap_count(g, phase) * static_cast<int>(plan.steps_per_tap.by);
  const int left = all - first;
  return {.first_column = static_cast<int>(column.remainder) * Tile::kColumns,
          .first_row = static_cast<int>(row.remainder) * Tile::kRows,
          .sample = static_cast<int>(sample.remainder),
          .phase = phase,
          .slice = slice,
          .first_step = first,
          .steps = left < plan.part_steps ? left : plan.part_steps};
}

// The pixel that is row `row` of a tile, as an index into [samples, phase_height, phase_width];
// -1: none.
SM_HOST_DEVICE int tile_row(const ImplicitGemm& g, const GemmPlan& plan, const BlockTile& tile,
                            int row) {
  const int index = tile.first_row + row;
  if (g.rows) return index < plan.rows ? g.rows[index] : -1;
  const int pixels = plan.phase_pixels(tile.phase);
  return index < pixels ? tile.sample * pixels + index : -1;
}

// Whether a tile has no pixel: the phases of a transposed convolution differ by a line and a
// column, and are cut into as many tiles each.
SM_HOST_DEVICE bool tile_is_empty(const ImplicitGemm& g, const GemmPlan& plan,
                                  const BlockTile& tile) {
  return g.transposed && tile.first_row >= plan.phase_pixels(tile.phase);
}

struct OutPixel {
  int sample;
  int y;
  int x;
};

SM_HOST_DEVICE OutPixel out_pixel(const GemmPlan& plan, int phase, int index) {
  const Split line = plan.width[phase % 2](static_cast<uint32_t>(index));
  const Split sample = plan.height[phase / 2](line.quotient);
  return {static_cast<int>(sample.quotient), static_cast<int>(sample.remainder),
          static_cast<int>(line.remainder)};
}

// Where a pixel of a phase lies in the whole output.
SM_HOST_DEVICE int64_t whole_pixel(const GemmPlan& plan, bool transposed, int phase,
                                   const OutPixel& out) {
  const int step = transposed ? 2 : 1;
  const int64_t line = int64_t{out.sample} * plan.out_height + out.y * step + phase / 2;
  return line * plan.out_width + out.x * step + phase % 2;
}

}  // namespace stylemap
