// The product itself: a block's tile of rows x columns, through a ring of stages in shared memory
// that cp.async fills ahead of the tensor cores.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/common/mma.h"
#include "kernels/implicit_gemm/tiles.h"

namespace stylemap {

// Place in a stage of chunk `chunk` of a row. Rows are 64 bytes, two to a line of all 32 banks; the
// exclusive or spreads a chunk of eight consecutive rows, which is what ldmatrix reads, over all.
SM_HOST_DEVICE int stage_offset(int row, int chunk) {
  return row * 32 + (chunk ^ (row >> 1 & 3)) * 8;
}

// Copies the two operands of a step, one 16-byte chunk of each of a few rows per thread.
// `Columns` knows the address of a column's weights, null beyond the last.
template <class T, class Tile, class Columns>
class Copier {
 public:
  static constexpr int kA = Tile::kRows / Tile::kRowsPerCopy;
  static constexpr int kB = Tile::kColumns / Tile::kRowsPerCopy;

  __device__ Copier(const ImplicitGemm& g, const BlockTile& tile, const int* rows,
                    const Columns& columns)
      : g_(g),
        phase_(tile.phase),
        row_(threadIdx.x / Tile::kChunks),
        chunk_(threadIdx.x % Tile::kChunks),
        taps_(tap_count(g, tile.phase)),
        steps_per_tap_((g.in_channels + Tile::kDepth - 1) / Tile::kDepth) {
    const int step = g.transposed ? 1 : g.stride;
#pragma unroll
    for (int i = 0; i < kA; ++i) {
      const int row = rows[row_ + i * Tile::kRowsPerCopy];
      const OutPixel pixel = out_pixel(g, tile.phase, row);
      // A row that is no pixel lies outside of the input for every tap.
      y_[i] = row < 0 ? INT32_MIN / 2 : pixel.y * step;
      x_[i] = pixel.x * step;
      pixel_[i] = row < 0 ? 0 : (pixel.sample * g.height + y_[i]) * g.width + x_[i];
    }
#pragma unroll
    for (int i = 0; i < kB; ++i)
      weight_[i] = columns.weights(tile.first_column + row_ + i * Tile::kRowsPerCopy);
  }

  __device__ int steps() const { return taps_ * steps_per_tap_; }

  // Starts the copies of the next step; beyond the last one nothing.
  __device__ void next(T* stage) {
    if (tap_ < taps_) {
      const int channel = step_ * Tile::kDepth + chunk_ * 8;
      const bool inside = channel < g_.in_channels;
      const Tap tap = tap_of(g_, phase_, tap_);
#pragma unroll
      for (int i = 0; i < kA; ++i) {
        const int y = y_[i] + tap.dy, x = x_[i] + tap.dx;
        const bool valid = inside && y >= 0 && y < g_.height && x >= 0 && x < g_.width;
        const int64_t pixel = pixel_[i] + tap.dy * g_.width + tap.dx;
        copy_async(stage + stage_offset(row_ + i * Tile::kRowsPerCopy, chunk_),
                   static_cast<const T*>(g_.x) + (valid ? pixel * g_.in_channels + channel : 0),
                   valid);
      }
      const int offset = tap.index * g_.in_channels + channel;
#pragma unroll
      for (int i = 0; i < kB; ++i) {
        const bool valid = inside && weight_[i] != nullptr;
        copy_async(stage + stage_offset(Tile::kRows + row_ + i * Tile::kRowsPerCopy, chunk_),
                   valid ? weight_[i] + offset : static_cast<const T*>(g_.weight), valid);
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
  int phase_, row_, chunk_;
  int taps_, steps_per_tap_;
  int tap_ = 0, step_ = 0;
  int y_[kA], x_[kA], pixel_[kA];
  const T* weight_[kB];
};

// The products of one step, from a filled stage.
template <class T, class Tile>
__device__ __forceinline__ void multiply_stage(const T* stage,
                                               float (&sum)[Tile::kM][Tile::kN][4]) {
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
template <class T, class Tile, class Columns>
__device__ __forceinline__ void multiply_tile(const ImplicitGemm& g, const BlockTile& tile,
                                              const int* rows, const Columns& columns, T* stages,
                                              float (&sum)[Tile::kM][Tile::kN][4]) {
  Copier<T, Tile, Columns> copier(g, tile, rows, columns);
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
