// How the product is cut into tiles, and which pixel and channel a row and column of a tile are.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/implicit_gemm/implicit_gemm.h"

namespace stylemap {

// A block computes kRows x kColumns with kWarpsM x kWarpsN warps.
template <int kRowsOfTile, int kColumnsOfTile, int kWarpsDown, int kWarpsAcross>
struct Tile {
  static constexpr int kRows = kRowsOfTile, kColumns = kColumnsOfTile;
  static constexpr int kWarpsM = kWarpsDown, kWarpsN = kWarpsAcross;
  static constexpr int kThreads = kWarpsDown * kWarpsAcross * kWarpSize;
  static constexpr int kDepth = 32;  // input channels per step: two products of 16
  static constexpr int kStages = 3;  // 48 KiB for the large tile: with the rest of its shared
                                     // memory two blocks fit into the 100 KiB of sm_86 and sm_120
  static constexpr int kWarpRows = kRows / kWarpsM, kWarpColumns = kColumns / kWarpsN;
  static constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;  // products of a warp per step
  static constexpr int kChunks = kDepth / 8;                        // 16-byte chunks of a row
  static constexpr int kStageElements = (kRows + kColumns) * kDepth;
  static constexpr int kRowsPerCopy = kThreads / kChunks;

  static_assert(kRows % kRowsPerCopy == 0 && kColumns % kRowsPerCopy == 0,
                "every thread copies the same number of chunks");
  static_assert(kN % 2 == 0, "one load brings the fragments of two products, and gamma and beta");
};

using LargeTile = Tile<128, 128, 2, 4>;
using SmallTile = Tile<64, 64, 2, 2>;

// Rows that tiles of a phase have to cover, per sample: those of the largest phase.
SM_HOST_DEVICE int64_t rows_per_sample(const ImplicitGemm& g) {
  return g.rows ? g.row_count : int64_t{g.phase_height(0)} * g.phase_width(0);
}

template <class Tile>
SM_HOST_DEVICE int64_t row_tiles(const ImplicitGemm& g) {
  return (rows_per_sample(g) + Tile::kRows - 1) / Tile::kRows;
}

template <class Tile>
SM_HOST_DEVICE int column_tiles(int columns) {
  return (columns + Tile::kColumns - 1) / Tile::kColumns;
}

// Samples that tiles are cut from one by one, for the statistics' sake. Listed rows are one list.
SM_HOST_DEVICE int separate_samples(const ImplicitGemm& g) { return g.rows ? 1 : g.samples; }

template <class Tile>
SM_HOST_DEVICE int64_t block_count(const ImplicitGemm& g, int columns) {
  return row_tiles<Tile>(g) * column_tiles<Tile>(columns) * separate_samples(g) * g.phases();
}

// Large tiles where they fill a device twice over, small ones otherwise.
inline bool use_large_tile(const ImplicitGemm& g, int columns) {
  constexpr int64_t kEnough = 2 * 128;
  if (g.tile != 0) return g.tile == LargeTile::kRows;
  return block_count<LargeTile>(g, columns) >= kEnough;
}

// What the block computes. Blocks are numbered columns first, so that those running together share
// their rows' pixels while all weights stay in the second-level cache; the phase with the most taps
// comes first.
struct BlockTile {
  int first_column;
  int64_t row_tile;
  int sample;
  int phase;
};

template <class Tile>
__device__ BlockTile block_tile(const ImplicitGemm& g, int columns) {
  const Split column = split(blockIdx.x, column_tiles<Tile>(columns));
  const Split row = split(column.quotient, row_tiles<Tile>(g));
  const Split sample = split(row.quotient, separate_samples(g));
  return {static_cast<int>(column.remainder) * Tile::kColumns, row.remainder,
          static_cast<int>(sample.remainder), static_cast<int>(sample.quotient)};
}

// The pixel that is row `row` of a tile, as an index into [samples, phase_height, phase_width];
// -1: none.
template <class Tile>
SM_HOST_DEVICE int tile_row(const ImplicitGemm& g, const BlockTile& tile, int row) {
  const int64_t index = tile.row_tile * Tile::kRows + row;
  if (g.rows) return index < g.row_count ? g.rows[index] : -1;
  const int64_t pixels = int64_t{g.phase_height(tile.phase)} * g.phase_width(tile.phase);
  return index < pixels ? static_cast<int>(tile.sample * pixels + index) : -1;
}

struct OutPixel {
  int sample;
  int y;
  int x;
};

SM_HOST_DEVICE OutPixel out_pixel(const ImplicitGemm& g, int phase, int index) {
  const int width = g.phase_width(phase), height = g.phase_height(phase);
  const int line = index / width;
  return {line / height, line % height, index % width};
}

}  // namespace stylemap
