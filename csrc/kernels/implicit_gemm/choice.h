// Which tile a product is cut into, and into how many parts its sum: the one place that says so.
//
// Made by measurement; where that was cycles of a simulated H100, docs/gpu.md has them.
#pragma once

#include <algorithm>

#include "kernels/implicit_gemm/tiles.h"

namespace stylemap {

// Warps of 64 x 64 where there are enough tiles: shared memory then feeds the tensor cores at their
// own pace, which it does not for smaller ones. Three stages of 16 KiB: with the rest of its shared
// memory two blocks fit into the 100 KiB of sm_86 and sm_120.
using Tile128 = Tile<128, 128, 2, 2, 32, 3>;
// The same for products a little wider than a multiple of 128, as gamma and three colors are.
using Tile144 = Tile<128, 144, 2, 3, 32, 3>;
// For few pixels. Twice the depth of a step: half the barriers, which are most of what a block of
// little work waits for.
using Tile64 = Tile<64, 64, 2, 2, 64, 3>;

struct TileShape {
  int id;  // ImplicitGemm::tile
  int rows;
  int columns;
  int depth;
};

template <class Tile>
constexpr TileShape shape_of_tile(int id) {
  return {id, Tile::kRows, Tile::kColumns, Tile::kDepth};
}

constexpr TileShape kShape64 = shape_of_tile<Tile64>(64);
constexpr TileShape kShape128 = shape_of_tile<Tile128>(128);
constexpr TileShape kShape144 = shape_of_tile<Tile144>(144);

inline int64_t tile_count(const ImplicitGemm& g, int columns, const TileShape& shape) {
  return ceil_div(rows_per_sample(g), shape.rows) * ceil_div(columns, shape.columns) *
         separate_samples(g) * g.phases();
}

// Steps of the phase with the most taps.
inline int step_count(const ImplicitGemm& g, int depth) {
  return tap_count(g, 0) * steps_per_tap(g, depth);
}

struct Choice {
  TileShape shape;
  int parts;
};

// Blocks to reach by splitting: two to each multiprocessor of a large device, one where there are
// so few pixels that joining the parts takes as long as summing them. Constants: the same parts,
// and so the same bits, on every device.
constexpr int64_t kBlocks128 = 264;
constexpr int64_t kBlocks64 = 132;
// Tiles of 128 x 128 from which on they are used.
constexpr int64_t kEnoughTiles = 16;
// Channels that a part sums at least, over its taps: filling the ring costs as much as 2 steps.
constexpr int kLeastDepth = 9 * 32;
// Joining more parts takes longer than summing them saves.
constexpr int kMostParts = 8;

// A transposed convolution has phases of 4, 2, 2 and 1 taps, which share out badly. One of few
// pixels is taken by its taps instead, see conv_up.h: blocks are then of one length. Where there
// are more of them than the device runs at once, phases share out well, and have no sums to store.
constexpr int kUpTaps = 9;
constexpr int kUpChannels = Tile144::kColumns / kUpTaps;  // of a block, with all of their taps
constexpr int kLeastUpSteps = 4;                          // of a part
constexpr int kMostUpParts = 4;

inline int64_t up_blocks(const ImplicitGemm& g) {
  return ceil_div(int64_t{g.height} * g.width, Tile144::kRows) * g.samples *
         (g.columns / kUpChannels);
}

inline bool takes_taps(const ImplicitGemm& g) {
  return g.transposed && g.size == 3 && g.tile != Tile64::kRows && !g.rows &&
         g.columns % kUpChannels == 0 && up_blocks(g) <= kBlocks128;
}

inline int choose_up_parts(const ImplicitGemm& g) {
  const int steps = steps_per_tap(g, Tile144::kDepth);
  if (g.parts) return std::min(g.parts, steps);
  const int64_t most = std::clamp(steps / kLeastUpSteps, 1, kMostUpParts);
  return static_cast<int>(
      std::clamp<int64_t>(kBlocks64 / std::max<int64_t>(up_blocks(g), 1), 1, most));
}

inline const TileShape& choose_tile(const ImplicitGemm& g, int columns, bool any_width) {
  if (g.tile == 64) return kShape64;
  if (g.tile == 0 && tile_count(g, columns, kShape128) < kEnoughTiles) return kShape64;
  const bool wider =
      any_width && ceil_div(columns, kShape144.columns) < ceil_div(columns, kShape128.columns);
  return wider ? kShape144 : kShape128;
}

inline int choose_parts(const ImplicitGemm& g, int columns, const TileShape& shape) {
  if (!g.sums || g.transposed) return 1;
  const int steps = step_count(g, shape.depth);
  const int64_t tiles = tile_count(g, columns, shape);
  const int64_t blocks = shape.rows == Tile64::kRows ? kBlocks64 : kBlocks128;
  int64_t parts = g.parts ? g.parts : blocks / (tiles > 0 ? tiles : 1);
  const int most = g.parts ? steps : std::min(kMostParts, steps * shape.depth / kLeastDepth);
  parts = std::min<int64_t>(parts, most);
  return parts > 1 ? static_cast<int>(parts) : 1;
}

// `columns` of the product; `any_width`: whether tiles may be other than a power of two wide.
inline Choice choose(const ImplicitGemm& g, int columns, bool any_width) {
  const TileShape& shape = choose_tile(g, columns, any_width);
  return {shape, choose_parts(g, columns, shape)};
}

// Listed rows are few to a layer, of many layers at once: see conv_rows_group_cuda. Two warps of
// 64 x 64, several such blocks to a multiprocessor, and parts of one length, so that the layers end
// together.
using GroupTile = Tile<64, 128, 1, 2, 32, 4>;
constexpr TileShape kGroupShape = shape_of_tile<GroupTile>(0);
constexpr int kGroupSteps = 72;

}  // namespace stylemap
