// The product itself: a block's tile of rows x columns, through a ring of stages in shared memory
// that cp.async fills ahead of the tensor cores.
#pragma once

#include "kernels/common/mma.h"
#include "kernels/implicit_gemm/tiles.h"

namespace stylemap {

// Byte in a stage of chunk `chunk` of a row. The exclusive or spreads a chunk of eight consecutive
// rows, which is what ldmatrix reads, over all banks: rows of 64 bytes lie two to a line of all 32.
// Rows a multiple of eight apart have their chunks in the same order.
template <class Tile>
SM_HOST_DEVICE uint32_t stage_offset(int row, int chunk) {
  const int twist = Tile::kDepth == 64 ? row & 7 : row >> 1 & 3;
  return static_cast<uint32_t>(row * Tile::kRowBytes + (chunk ^ twist) * 16);
}

// Of a row of the tile, what the copies of every tap need: found once for all threads that copy a
// piece of it.
struct InputRow {
  uint32_t packs;  // the input pixel that tap (0, 0) takes: its place in x, in 16 bytes
  uint32_t taps;   // bit t: tap t lies inside the input
};

SM_HOST_DEVICE InputRow input_row(const ImplicitGemm& g, const GemmPlan& plan, int phase,
                                  int pixel) {
  if (pixel < 0) return {0, 0};
  const OutPixel out = out_pixel(plan, phase, pixel);
  const int step = g.transposed ? 1 : g.stride, y = out.y * step, x = out.x * step;
  const auto line = static_cast<uint32_t>(out.sample * g.height + y);
  InputRow row{(line * g.width + x) * (g.in_channels / 8), 0};
  const int taps = tap_count(g, phase);
  for (int t = 0; t < taps; ++t) {
    const Tap tap = tap_of(g, phase, t);
    const bool inside = static_cast<uint32_t>(y + tap.dy) < static_cast<uint32_t>(g.height) &&
                        static_cast<uint32_t>(x + tap.dx) < static_cast<uint32_t>(g.width);
    row.taps |= inside ? 1u << t : 0u;
  }
  return row;
}

// Copies the two operands of a step, one 16-byte chunk of each of a few rows per thread.
//
// Weights<T> gives a column's weights: `at(column)` the address of the first, `next(columns)` how
// many elements the column that many further lies from it, for multiples of kRowsPerCopy, and
// `count` how many columns there are.
//
// This is the main loop's arithmetic: an address costs one multiplication. Where a copy is of zeros
// its address is anything, as it is not read.
template <class T, class Tile, class Weights>
class Copier {
 public:
  static constexpr int kA = static_cast<int>(ceil_div(Tile::kRows, Tile::kRowsPerCopy));
  static constexpr int kB = static_cast<int>(ceil_div(Tile::kColumns, Tile::kRowsPerCopy));

  __device__ Copier(const ImplicitGemm& g, const GemmPlan& plan, const BlockTile& tile,
                    const InputRow* rows, const Weights& weights)
      : g_(g),
        taps_(plan.taps + tap_slot(tile.phase, 0)),
        rows_(rows + threadIdx.x / Tile::kChunks),
        left_(tile.steps),
        row_(threadIdx.x / Tile::kChunks),
        columns_left_(weights.count() - tile.first_column - row_),
        end_(static_cast<int>(plan.steps_per_tap.by) * Tile::kDepth) {
    const int chunk = threadIdx.x % Tile::kChunks;
    const Split start = plan.steps_per_tap(static_cast<uint32_t>(tile.first_step));
    tap_ = static_cast<int>(start.quotient);
    first_channel_ = chunk * 8;
    channel_ = static_cast<int>(start.remainder) * Tile::kDepth + first_channel_;
    to_ = stage_offset<Tile>(row_, chunk);
    stride_ = static_cast<uint32_t>(weights.next(Tile::kRowsPerCopy) * sizeof(T));
    weights_ = weights.at(columns_left_ > 0 ? tile.first_column + row_ : 0);
    if (left_ > 0) take_tap();
  }

  // Starts the copies of the next step; beyond the last one nothing.
  __device__ __forceinline__ void next(SharedAddress stage) {
    if (left_ > 0) {
      const bool inside = channel_ < g_.in_channels;
      const SharedAddress to = stage + to_;
      const char* const x = static_cast<const char*>(g_.x) + channel_ * 2;
#pragma unroll
      for (int i = 0; i < kA; ++i)
        if (in_tile(i, Tile::kRows))
          copy_async(to + i * Tile::kRowsPerCopy * Tile::kRowBytes, x + uint64_t{packs_[i]} * 16,
                     inside && packs_[i] != kNone);
      const char* const weights = reinterpret_cast<const char*>(tap_weights_ + channel_);
#pragma unroll
      for (int i = 0; i < kB; ++i)
        if (in_tile(i, Tile::kColumns))
          copy_async(to + (Tile::kRows + i * Tile::kRowsPerCopy) * Tile::kRowBytes,
                     weights + uint64_t{stride_} * i,
                     inside && i * Tile::kRowsPerCopy < columns_left_);
      channel_ += Tile::kDepth;
      --left_;
      if (channel_ >= end_) {
        channel_ = first_channel_;
        ++tap_;
        if (left_ > 0) take_tap();
      }
    }
    commit_copies();
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  const ImplicitGemm& g_;
  const TapPlace* taps_;
  const InputRow* rows_;
  int left_, row_, columns_left_, end_;
  int tap_, first_channel_, channel_;
  uint32_t to_;
  uint32_t stride_;  // bytes, between the columns of two copies
  const T* weights_;
  const T* tap_weights_;
  uint32_t packs_[kA];  // of the tap's pixel: its index in x, in 16 bytes; kNone outside

  // Whether the thread's i-th row, or column, is one of the tile's.
  __device__ __forceinline__ bool in_tile(int i, int count) const {
    return count % Tile::kRowsPerCopy == 0 || row_ + i * Tile::kRowsPerCopy < count;
  }

  __device__ __forceinline__ void take_tap() {
    const TapPlace tap = taps_[tap_];
    const auto further = static_cast<uint32_t>(tap.packs);
    const uint32_t bit = 1u << tap_;
#pragma unroll
    for (int i = 0; i < kA; ++i) {
      if (!in_tile(i, Tile::kRows)) continue;
      const InputRow row = rows_[i * Tile::kRowsPerCopy];
      packs_[i] = row.taps & bit ? row.packs + further : kNone;
    }
    tap_weights_ = weights_ + tap.weights;
  }
};

// The products of one step, from a filled stage. `between` is called when the first of them are
// under way: what it does passes while the tensor cores are busy.
template <class T, class Tile, class Between>
__device__ __forceinline__ void multiply_stage(SharedAddress stage, uint32_t a_row, uint32_t b_row,
                                               float (&sum)[Tile::kM][Tile::kN][4],
                                               const Between& between) {
#pragma unroll
  for (int k = 0; k < Tile::kDepth / 16; ++k) {
    uint32_t a[Tile::kM][4], b[Tile::kN / 2][4];
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
      load_matrices(a[m], stage + (a_row ^ (k * 32)) + m * 16 * Tile::kRowBytes);
#pragma unroll
    for (int n = 0; n < Tile::kN / 2; ++n)
      load_matrices(b[n], stage + (b_row ^ (k * 32)) + n * 16 * Tile::kRowBytes);
#pragma unroll
    for (int m = 0; m < Tile::kM; ++m)
#pragma unroll
      for (int n = 0; n < Tile::kN; ++n) {
        const uint32_t factor[2] = {b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]};
        multiply_add<T>(sum[m][n], a[m], factor);
      }
    if (k == 0) between();
  }
}

// The tile's products, summed over its steps. Afterwards `stages` is free for reuse.
template <class T, class Tile, class Weights>
__device__ __forceinline__ void multiply_tile(const ImplicitGemm& g, const GemmPlan& plan,
                                              const BlockTile& tile, const InputRow* rows,
                                              const Weights& weights, void* stages,
                                              float (&sum)[Tile::kM][Tile::kN][4]) {
  Copier<T, Tile, Weights> copier(g, plan, tile, rows, weights);
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  // A chunk 2 k further is the exclusive or with 2 k: chunks of a row are a power of two.
  const uint32_t a_row =
      stage_offset<Tile>(warp / Tile::kWarpsN * Tile::kWarpRows + lane % 16, lane / 16);
  const uint32_t b_row = stage_offset<Tile>(
      Tile::kRows + warp % Tile::kWarpsN * Tile::kWarpColumns + lane % 8 + lane / 16 * 8,
      lane / 8 % 2);
  const SharedAddress first = shared_address(stages);
  const SharedAddress last = first + (Tile::kStages - 1) * Tile::kStageBytes;
#pragma unroll
  for (int s = 0; s < Tile::kStages - 1; ++s) copier.next(first + s * Tile::kStageBytes);
  SharedAddress read = first, write = last;
  for (int step = 0; step < tile.steps; ++step) {
    wait_for_copies<Tile::kStages - 2>();
    __syncthreads();  // the stage is filled for all, and all are done with the one filled next
    multiply_stage<T, Tile>(read, a_row, b_row, sum, [&] { copier.next(write); });
    read = read == last ? first : read + Tile::kStageBytes;
    write = write == last ? first : write + Tile::kStageBytes;
  }
  wait_for_copies<0>();
  __syncthreads();
}

}  // namespace stylemap
