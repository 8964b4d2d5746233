// The product itself: a block's tile of rows x columns, through a ring of stages in shared memory that
// cp.async fills ahead of the tensor cores.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/common/mma.h"
#include "kernels/implicit_gemm/implicit_gemm.h"

namespace stylemap {

// A block computes kRows x kColumns with kWarpRows x kWarpColumns warps.
template <int kRowsOfTile, int kColumnsOfTile, int kWarpsDown, int kWarpsAcross>
struct Tile {
  static constexpr int kRows = kRowsOfTile, kColumns = kColumnsOfTile;
  static constexpr int kWarpsM = kWarpsDown, kWarpsN = kWarpsAcross;
  static constexpr int kThreads = kWarpsDown * kWarpsAcross * kWarpSize;
  static constexpr int kDepth = 32;   // input channels per step: two products of 16
  static constexpr int kStages = 3;   // 48 KiB for the large tile: with the rest of its shared memory
                                      // two blocks fit into the 100 KiB of sm_86 and sm_120
  static constexpr int kWarpRows = kRows / kWarpsM, kWarpColumns = kColumns / kWarpsN;
  static constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;  // products of a warp per step
  static constexpr int kChunks = kDepth / 8;  // of 16 bytes per row of a stage
  static constexpr int kStageElements = (kRows + kColumns) * kDepth;
  static constexpr int kRowsPerCopy = kThreads / kChunks;

  static_assert(kRows % kRowsPerCopy == 0 && kColumns % kRowsPerCopy == 0,
                "every thread copies the same number of chunks");
  static_assert(kN % 2 == 0, "one load brings the fragments of two products, and gamma and beta");
};

// Place in a stage of 16 bytes of a row. Rows are 64 bytes, two to a line of all 32 banks; the
// exclusive or spreads a chunk of eight consecutive rows, which is what ldmatrix reads, over all.
SM_HOST_DEVICE int stage_offset(int row, int chunk) { return row * 32 + ((chunk ^ (row >> 1 & 3)) * 8); }

// An output pixel.
struct OutPixel {
  int sample;
  int y;
  int x;
};

// From its index in [samples, out_height, out_width].
SM_HOST_DEVICE OutPixel out_pixel(const ImplicitGemm& g, int index) {
  const int line = index / g.out_width;
  return {line / g.out_height, line % g.out_height, index % g.out_width};
}

// Blocks are numbered columns first, so that those running together share their rows' pixels and the
// weights stay in the second-level cache. Tiles never straddle samples, for the statistics' sake.
template <class Tile>
SM_HOST_DEVICE int64_t row_tiles_per_sample(const ImplicitGemm& g) {
  const int64_t rows = g.rows ? g.row_count : int64_t{g.out_height} * g.out_width;
  return (rows + Tile::kRows - 1) / Tile::kRows;
}

template <class Tile>
SM_HOST_DEVICE int column_tiles(const ImplicitGemm& g) {
  return (g.columns + Tile::kColumns - 1) / Tile::kColumns;
}

// The pixel that is row `row` of a tile, as an index into [samples, out_height, out_width]; -1: none.
template <class Tile>
SM_HOST_DEVICE int tile_row(const ImplicitGemm& g, int64_t tile, int row) {
  const int64_t per_sample = row_tiles_per_sample<Tile>(g);
  const int64_t index = tile % per_sample * Tile::kRows + row;
  if (g.rows) return index < g.row_count ? g.rows[index] : -1;
  const int64_t pixels = int64_t{g.out_height} * g.out_width;
  return index < pixels ? static_cast<int>(tile / per_sample * pixels + index) : -1;
}

// Copies the two operands of a step, one 16-byte chunk of each of a few rows per thread.
template <class T, class Tile>
class Copier {
 public:
  static constexpr int kA = Tile::kRows / Tile::kRowsPerCopy;
  static constexpr int kB = Tile::kColumns / Tile::kRowsPerCopy;

  __device__ Copier(const ImplicitGemm& g, const int* rows, int first_column)
      : g_(g),
        row_(threadIdx.x / Tile::kChunks),
        chunk_(threadIdx.x % Tile::kChunks),
        column_(first_column + row_),
        steps_per_tap_((g.in_channels + Tile::kDepth - 1) / Tile::kDepth) {
#pragma unroll
    for (int i = 0; i < kA; ++i) {
      const int row = rows[row_ + i * Tile::kRowsPerCopy];
      const OutPixel pixel = out_pixel(g, row);
      // A row that is no pixel lies outside of the input for every tap.
      y_[i] = row < 0 ? INT32_MIN / 2 : pixel.y * g.stride;
      x_[i] = pixel.x * g.stride;
      pixel_[i] = (int64_t{pixel.sample} * g.height + y_[i]) * g.width + x_[i];
    }
  }

  __device__ int steps() const { return g_.taps * steps_per_tap_; }

  // Starts the copies of the next step; beyond the last one nothing.
  __device__ void next(T* stage) {
    if (tap_ < g_.taps) {
      const int channel = step_ * Tile::kDepth + chunk_ * 8;
      const bool inside = channel < g_.in_channels;
      const Tap tap = g_.tap[tap_];
      const T* x = static_cast<const T*>(g_.x) + channel;
#pragma unroll
      for (int i = 0; i < kA; ++i) {
        const int y_in = y_[i] + tap.dy, x_in = x_[i] + tap.dx;
        const bool valid = inside && y_in >= 0 && y_in < g_.height && x_in >= 0 && x_in < g_.width;
        const int64_t pixel = pixel_[i] + int64_t{tap.dy} * g_.width + tap.dx;
        copy_async(stage + stage_offset(row_ + i * Tile::kRowsPerCopy, chunk_),
                   x + (valid ? pixel * g_.in_channels : 0), valid);
      }
      const T* weight = static_cast<const T*>(g_.weight) + channel;
#pragma unroll
      for (int i = 0; i < kB; ++i) {
        const int column = column_ + i * Tile::kRowsPerCopy;
        const bool valid = inside && column < g_.columns;
        const int64_t row = int64_t{tap_} * g_.columns + column;
        copy_async(stage + stage_offset(Tile::kRows + row_ + i * Tile::kRowsPerCopy, chunk_),
                   weight + (valid ? row * g_.in_channels : 0), valid);
      }
      if (++step_ == steps_per_tap_) {
        step_ = 0;
        ++tap_;
      }
    }
    commit_copies();
  }

 private:
  const ImplicitGemm& g_;
  int row_, chunk_, column_;
  int steps_per_tap_;
  int tap_ = 0, step_ = 0;
  int y_[kA], x_[kA];
  int64_t pixel_[kA];
};

// The products of one step, from a filled stage.
template <class T, class Tile>
__device__ __forceinline__ void multiply_stage(const T* stage, float (&sum)[Tile::kM][Tile::kN][4]) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const int row = warp / Tile::kWarpsN * Tile::kWarpRows + lane % 16;
  const int column =
      Tile::kRows + warp % Tile::kWarpsN * Tile::kWarpColumns + lane % 8 + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < Tile::kDepth / 16; ++k) {
    uint32_t a[Tile::kM][4], b[Tile::kN / 2][4];
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
      load_matrices(a[m], stage + stage_offset(row + m * 16, 2 * k + lane / 16));
#pragma unroll
    for (int n = 0; n < Tile::kN / 2; ++n)
      load_matrices(b[n], stage + stage_offset(column + n * 16, 2 * k + lane / 8 % 2));
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int n = 0; n < Tile::kN; ++n) {
        const uint32_t factor[2] = {b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]};
        multiply_add<T>(sum[m][n], a[m], factor);
      }
  }
}

// The tile's products, summed over taps and input channels. Afterwards `stages` is free for reuse.
template <class T, class Tile>
__device__ __forceinline__ void multiply_tile(const ImplicitGemm& g, const int* rows,
                                              int first_column, T* stages,
                                              float (&sum)[Tile::kM][Tile::kN][4]) {
  Copier<T, Tile> copier(g, rows, first_column);
#pragma unroll
  for (int s = 0; s < Tile::kStages - 1; ++s) copier.next(stages + s * Tile::kStageElements);
  const int steps = copier.steps();
  int read = 0, write = Tile::kStages - 1;
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<Tile::kStages - 2>();
    __syncthreads();  // the stage is filled for all, and all are done with the one filled next
    copier.next(stages + write * Tile::kStageElements);
    multiply_stage<T, Tile>(stages + read * Tile::kStageElements, sum);
    read = read + 1 == Tile::kStages ? 0 : read + 1;
    write = write + 1 == Tile::kStages ? 0 : write + 1;
  }
  wait_for_copies<0>();
  __syncthreads();
}

}  // namespace stylemap
