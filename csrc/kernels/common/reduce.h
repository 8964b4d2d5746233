// Reductions over the threads of a block. The order depends on the block's size alone, so results
// are the same bits every time.
#pragma once

#include <bit>

#include "kernels/common/launch.h"
#include "kernels/common/moments.h"

namespace stylemap {

// Two sums taken together.
template <class C>
struct Sums {
  C first;
  C second;
};

template <class C>
SM_HOST_DEVICE Sums<C> join(const Sums<C>& a, const Sums<C>& b) {
  return {a.first + b.first, a.second + b.second};
}

template <class C>
__device__ inline Moments<C> shuffle_down(const Moments<C>& value, int distance) {
  return {__shfl_down_sync(0xffffffffu, value.count, distance),
          __shfl_down_sync(0xffffffffu, value.mean, distance),
          __shfl_down_sync(0xffffffffu, value.m2, distance)};
}

template <class C>
__device__ inline Sums<C> shuffle_down(const Sums<C>& value, int distance) {
  return {__shfl_down_sync(0xffffffffu, value.first, distance),
          __shfl_down_sync(0xffffffffu, value.second, distance)};
}

// The join over a block of kThreads threads, valid in thread 0. The first join of a value takes its
// own thread's part as left operand. `of_warp` is shared memory for a value of every warp.
template <int kThreads, class Value>
__device__ Value block_join(Value value, Value* of_warp) {
  constexpr int kWarps = kThreads / kWarpSize;
  constexpr int kHalf = static_cast<int>(std::bit_ceil(static_cast<unsigned>(kWarps)) / 2);
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    value = join(value, shuffle_down(value, distance));
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  if (warp == 0) {
    value = lane < kWarps ? of_warp[lane] : Value{};
    for (int distance = kHalf; distance > 0; distance /= 2)
      value = join(value, shuffle_down(value, distance));
  }
  return value;
}

template <int kThreads, class Value>
__device__ Value block_join(Value value) {
  using Slots = Value[kThreads / kWarpSize];
  SM_SHARED(Slots, of_warp);
  return block_join<kThreads>(value, of_warp);
}

}  // namespace stylemap
