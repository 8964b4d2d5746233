// What both epilogues share: the tile in shared memory on its way to memory in 16-byte accesses.
#pragma once

#include "kernels/implicit_gemm/mainloop.h"

namespace stylemap {

// Large tiles where they fill the device twice over, small ones otherwise.
using LargeTile = Tile<128, 128, 2, 4>;
using SmallTile = Tile<64, 64, 2, 2>;

inline bool use_large_tile(const ImplicitGemm& g) {
  constexpr int64_t kEnough = 2 * 128;
  const int64_t samples = g.rows ? 1 : g.samples;
  return samples * row_tiles_per_sample<LargeTile>(g) * column_tiles<LargeTile>(g) >= kEnough;
}

template <class T, class Tile, int kColumns>
struct TileShared {
  // The pitch moves each row by four banks: the eight rows and four pairs a warp writes at a time
  // fall into 32 different ones.
  static constexpr int kPitch = kColumns + 8;
  union {
    T stages[Tile::kStages * Tile::kStageElements];
    T out[Tile::kRows * kPitch];
  };
  int rows[Tile::kRows];  // see tile_row
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

// Calls move(pixel, column, address in the shared tile) for every pack of 8 columns, of rows that are
// a pixel and columns below `columns`.
template <class T, class Tile, int kColumns, class Move>
__device__ __forceinline__ void for_each_pack(TileShared<T, Tile, kColumns>& shared, int columns,
                                              const Move& move) {
  constexpr int kPacks = kColumns / 8;
#pragma unroll 2
  for (int i = threadIdx.x; i < Tile::kRows * kPacks; i += Tile::kThreads) {
    const int row = i / kPacks, column = i % kPacks * 8;
    if (shared.rows[row] >= 0 && column < columns)
      move(shared.rows[row], column, shared.out + row * shared.kPitch + column);
  }
}

// One block per tile of rows and columns.
template <class Tile, class Shared, class Params>
cudaError_t launch_tiles(void (*kernel)(Params), const Params& params, cudaStream_t stream) {
  const ImplicitGemm& g = params.gemm;
  const int64_t samples = g.rows ? 1 : g.samples;
  const int64_t blocks = samples * row_tiles_per_sample<Tile>(g) * column_tiles<Tile>(g);
  const int64_t pixels = int64_t{g.samples} * g.out_height * g.out_width;
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX || pixels > INT32_MAX) return cudaErrorInvalidConfiguration;
  const int bytes = sizeof(Shared);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(Tile::kThreads), bytes, stream,
                params);
}

}  // namespace stylemap
