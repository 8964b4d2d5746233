// A kernel that reverses rows by way of shared memory, right or with the mistake that its argument
// names; and the program that runs it.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/common/launch.h"
#include "kernels/common/mma.h"

namespace {

constexpr int kThreads = 64;
constexpr int kPerThread = 4;  // floats: 16 bytes
using Row = float4[kThreads];

enum Mistake {
  kNone,
  kNoBarrier,
  kNoWait,
  kLateBarrier,
  kOutOfBounds,
  kMisaligned,
  kUninitialised,
  kSharedOutOfBounds
};

template <int kMistake>
__global__ void reverse(const float4* x, float4* y) {
  SM_SHARED(Row, row);
  const int i = threadIdx.x;
  const float4* from = x + i;
  if (kMistake == kMisaligned)
    from = reinterpret_cast<const float4*>(reinterpret_cast<const char*>(x) + 4);
  if (kMistake != kUninitialised || i > 0)
    stylemap::copy_async(stylemap::shared_address(row + i), from, true);
  stylemap::commit_copies();
  if (kMistake != kNoWait) stylemap::wait_for_copies<0>();
  if (kMistake != kNoBarrier) __syncthreads();
  float4 value = row[kThreads - 1 - i + (kMistake == kSharedOutOfBounds)];
  if (kMistake == kLateBarrier) {
    // The copy begins while the other warp may still be reading.
    stylemap::copy_async(stylemap::shared_address(row + i), x + i, true);
    stylemap::commit_copies();
    stylemap::wait_for_copies<0>();
    __syncthreads();
    const float4 again = row[kThreads - 1 - i];
    value.x += again.x - value.x;
  }
  y[kMistake == kOutOfBounds ? i + 1 : i] = value;
}

template <int kMistake>
int run() {
  const size_t bytes = kThreads * sizeof(float4);
  float4 *x, *y;
  cudaMalloc(reinterpret_cast<void**>(&x), bytes);
  cudaMalloc(reinterpret_cast<void**>(&y), bytes);
  auto* values = reinterpret_cast<float*>(x);
  for (int i = 0; i < kThreads * kPerThread; ++i) values[i] = static_cast<float>(i);
  const cudaError_t error = stylemap::launch(reverse<kMistake>, dim3(1), dim3(kThreads), 0, nullptr,
                                             static_cast<const float4*>(x), y);
  if (error != cudaSuccess) {
    std::puts(cudaGetErrorString(error));
    return 1;
  }
  for (int i = 0; i < kThreads; ++i)
    if (y[i].x != x[kThreads - 1 - i].x || y[i].w != x[kThreads - 1 - i].w) return 2;
  cudaFree(x);
  cudaFree(y);
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  switch (std::atoi(arguments[1])) {
    case kNone:
      return run<kNone>();
    case kNoBarrier:
      return run<kNoBarrier>();
    case kNoWait:
      return run<kNoWait>();
    case kLateBarrier:
      return run<kLateBarrier>();
    case kOutOfBounds:
      return run<kOutOfBounds>();
    case kMisaligned:
      return run<kMisaligned>();
    case kUninitialised:
      return run<kUninitialised>();
    case kSharedOutOfBounds:
      return run<kSharedOutOfBounds>();
  }
  return 3;
}
