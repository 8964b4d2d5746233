// First level of the grid-wide reductions of modulate: one partial result per block, written where
// the second level (join.h) joins them in order. Never one block per sample: a sample is millions
// of elements, and a layer norm would run on a few multiprocessors.
//
// A task (moments of x; sums of the backward) says what is reduced. It takes U addresses of N
// consecutive elements each, and the place and first element of their statistic: together() reduces
// them to one Partial, apart() to one for each of the N channels.
#pragma once

#include "kernels/common/pack.h"
#include "kernels/common/reduce.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {

constexpr int kPartialThreads = 256;
// Two blocks have enough loads under way; asking for more made the compiler spill registers.
constexpr int kPartialBlocks = 2;
constexpr int kPacksInFlight = 4;     // 16-byte loads a thread has under way
constexpr int kPixelsPerThread = 16;  // of the channels_last kernels

// What is reduced to what. Partials are [batch * chunks, statistics].
struct PartialGrid {
  NormShape shape;
  int64_t statistics;  // per sample: 1, groups or channels
  int64_t chunks;      // blocks per sample and statistic

  SM_HOST_DEVICE int64_t rows() const { return shape.batch * chunks; }
  SM_HOST_DEVICE int64_t group_channels() const { return shape.channels / statistics; }
  // The place of a sample's statistic in arrays of mean and rstd.
  SM_HOST_DEVICE int64_t index(int64_t sample, int64_t statistic) const {
    return shape.groups == 0 ? statistic : sample * statistics + statistic;
  }
  // Its first element.
  SM_HOST_DEVICE int64_t first(int64_t sample, int64_t statistic) const {
    const int64_t n = shape.groups == 0 ? 0 : sample;
    const int64_t step = group_channels() * (shape.channels_last ? 1 : shape.pixels);
    return n * shape.channels * shape.pixels + statistic * step;
  }
  // One contiguous run of elements per statistic and sample.
  SM_HOST_DEVICE bool contiguous() const { return !shape.channels_last || statistics == 1; }
};

// Elements that a block of row_partials reduces, whatever the size of its packs.
template <class T>
constexpr int64_t kRowChunk = int64_t{kPartialThreads} * kPacksInFlight * kPack<T>;

// Contiguous statistics: block x is chunk x % chunks of run x / chunks.
template <class Task, int N>
__global__ void __launch_bounds__(kPartialThreads, kPartialBlocks)
    row_partials(Task task, PartialGrid grid, typename Task::Partial* partials) {
  wait_for_earlier_kernels();
  using T = typename Task::Element;
  constexpr int U = kPacksInFlight * kPack<T> / N;
  const auto [run, chunk] = split(blockIdx.x, grid.chunks);
  const auto [sample, statistic] = split(run, grid.statistics);
  const int64_t length = grid.group_channels() * grid.shape.pixels;
  int64_t at[U];
  bool valid[U];
#pragma unroll
  for (int u = 0; u < U; ++u) {
    const int64_t offset =
        int64_t{chunk} * kRowChunk<T> + (u * kPartialThreads + int(threadIdx.x)) * N;
    valid[u] = offset < length;
    at[u] = int64_t{run} * length + offset;
  }
  const int64_t place = grid.index(sample, statistic), first = grid.first(sample, statistic);
  const auto partial =
      block_join<kPartialThreads>(task.template together<N, U>(at, valid, place, first));
  if (threadIdx.x == 0)
    partials[(int64_t{sample} * grid.chunks + chunk) * grid.statistics + statistic] = partial;
}

// A block of a channels_last kernel is `columns` packs wide and kPartialThreads / columns pixels
// high.
struct PixelBlock {
  int columns;
  int rows;

  SM_HOST_DEVICE explicit PixelBlock(int64_t packs)
      : columns(packs < kPartialThreads ? static_cast<int>(packs) : kPartialThreads),
        rows(kPartialThreads / columns) {}
  SM_HOST_DEVICE int64_t pixels() const { return int64_t{rows} * kPixelsPerThread; }
};

// channels_last, groups of channels: block (x, y) is chunk x % chunks of sample x / chunks, group
// y.
template <class Task, int N>
__global__ void __launch_bounds__(kPartialThreads, kPartialBlocks)
    group_partials(Task task, PartialGrid grid, typename Task::Partial* partials) {
  wait_for_earlier_kernels();
  constexpr int U = kPacksInFlight;
  const auto [sample, chunk] = split(blockIdx.x, grid.chunks);
  const int64_t statistic = blockIdx.y, packs = grid.group_channels() / N;
  const PixelBlock block(packs);
  const int column = threadIdx.x % block.columns, row = threadIdx.x / block.columns;
  const int64_t place = grid.index(sample, statistic), first = grid.first(sample, statistic);
  typename Task::Partial partial{};
  for (int64_t pack = column; pack < packs; pack += block.columns) {
    for (int step = 0; step < kPixelsPerThread; step += U) {
      int64_t at[U];
      bool valid[U];
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const int64_t pixel = int64_t{chunk} * block.pixels() + (step + u) * block.rows + row;
        valid[u] = row < block.rows && pixel < grid.shape.pixels;
        at[u] = (int64_t{sample} * grid.shape.pixels + pixel) * grid.shape.channels +
                statistic * packs * N + pack * N;
      }
      partial = join(partial, task.template together<N, U>(at, valid, place, first));
    }
  }
  partial = block_join<kPartialThreads>(partial);
  if (threadIdx.x == 0)
    partials[(int64_t{sample} * grid.chunks + chunk) * grid.statistics + statistic] = partial;
}

// channels_last, a statistic per channel: block (x, y) is chunk x % chunks of sample x / chunks,
// kPartialThreads packs of channels from the y-th on.
template <class Task, int N>
__global__ void __launch_bounds__(kPartialThreads, kPartialBlocks)
    channel_partials(Task task, PartialGrid grid, typename Task::Partial* partials) {
  wait_for_earlier_kernels();
  using Partial = typename Task::Partial;
  constexpr int U = 32 / N < kPacksInFlight ? 32 / N : kPacksInFlight;
  using Slots = Partial[kPartialThreads][N];
  SM_SHARED(Slots, slots);
  const auto [sample, chunk] = split(blockIdx.x, grid.chunks);
  const int64_t packs = grid.shape.channels / N;
  const PixelBlock block(packs);
  const int column = threadIdx.x % block.columns, row = threadIdx.x / block.columns;
  const int64_t pack = blockIdx.y * int64_t{block.columns} + column;
  const int64_t place = grid.index(sample, pack * N), first = grid.first(sample, pack * N);
  Partial partial[N] = {};
  for (int step = 0; step < kPixelsPerThread; step += U) {
    int64_t at[U];
    bool valid[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t pixel = int64_t{chunk} * block.pixels() + (step + u) * block.rows + row;
      valid[u] = row < block.rows && pack < packs && pixel < grid.shape.pixels;
      at[u] = (int64_t{sample} * grid.shape.pixels + pixel) * grid.shape.channels + pack * N;
    }
    task.template apart<N, U>(at, valid, place, first, partial);
  }
#pragma unroll
  for (int i = 0; i < N; ++i) slots[threadIdx.x][i] = partial[i];
  __syncthreads();
  if (row != 0 || pack >= packs) return;
  Partial* out =
      partials + (int64_t{sample} * grid.chunks + chunk) * grid.shape.channels + pack * N;
  for (int other = 1; other < block.rows; ++other)
#pragma unroll
    for (int i = 0; i < N; ++i)
      partial[i] = join(partial[i], slots[other * block.columns + column][i]);
#pragma unroll
  for (int i = 0; i < N; ++i) out[i] = partial[i];
}

// Whether packs of kPack<T> aligned elements never straddle statistics that have to stay apart.
template <class T>
bool whole_packs(const PartialGrid& grid) {
  if (grid.statistics == 0) return false;
  if (grid.contiguous()) return grid.group_channels() * grid.shape.pixels % kPack<T> == 0;
  const bool apart = grid.statistics == grid.shape.channels;
  return (apart ? grid.shape.channels : grid.group_channels()) % kPack<T> == 0;
}

// For packs of N elements.
template <class T, int N>
PartialGrid partial_grid(const NormShape& shape) {
  PartialGrid grid{shape, shape.groups == 0 ? shape.channels : shape.groups, 0};
  if (grid.statistics == 0) return grid;
  if (grid.contiguous()) {
    grid.chunks = ceil_div(grid.group_channels() * shape.pixels, kRowChunk<T>);
  } else {
    const bool apart = grid.statistics == shape.channels;
    const PixelBlock block((apart ? shape.channels : grid.group_channels()) / N);
    grid.chunks = ceil_div(shape.pixels, block.pixels());
  }
  return grid;
}

template <int N, class Task>
cudaError_t launch_partials(const Task& task, const PartialGrid& grid,
                            typename Task::Partial* partials, cudaStream_t stream) {
  const auto run = [&](auto kernel, int64_t x, int64_t y) {
    if (x > INT32_MAX || y > 65535) return cudaErrorInvalidConfiguration;
    return launch(kernel, dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)),
                  dim3(kPartialThreads), 0, stream, task, grid, partials);
  };
  if (grid.rows() == 0) return cudaSuccess;
  if (grid.contiguous()) return run(row_partials<Task, N>, grid.rows() * grid.statistics, 1);
  if (grid.statistics < grid.shape.channels)
    return run(group_partials<Task, N>, grid.rows(), grid.statistics);
  return run(channel_partials<Task, N>, grid.rows(),
             ceil_div(grid.shape.channels / N, kPartialThreads));
}

}  // namespace stylemap
