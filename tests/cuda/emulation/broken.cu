// Kernels with the mistakes the emulation is there to find; and one without.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/common/launch.h"
#include "kernels/common/mma.h"

namespace {

constexpr int kThreads = 64;
using Row = float[kThreads];

enum Mistake {
  kNone,
  kNoBarrier,
  kOutOfBounds,
  kUnreachedBarrier,
  kHalfAWarp,
  kNoWait,
  kUninitialised,
  kEarlyCopy
};

__global__ void reverse(const float* x, float* y, int mistake) {
  SM_SHARED(Row, row);
  const int i = threadIdx.x;
  if (mistake == kNoWait) {
    stylemap::copy_async(stylemap::shared_address(row + i / 4 * 4), x + i / 4 * 4, true);
    stylemap::commit_copies();
  } else if (mistake != kUninitialised || i > 0) {
    row[i] = x[i];
  }
  if (mistake != kNoBarrier && (mistake != kUnreachedBarrier || i < 40)) __syncthreads();
  float value = row[kThreads - 1 - i];
  if (mistake == kEarlyCopy) {
    // Other threads may not have read yet: a barrier is missing before, though not after the wait.
    if (i % 4 == 0) stylemap::copy_async(stylemap::shared_address(row + i), x + i, true);
    stylemap::commit_copies();
    __syncthreads();
    stylemap::wait_for_copies<0>();
    __syncthreads();
  }
  if (mistake == kHalfAWarp && i % 32 < 16) value = __shfl_xor_sync(0xffffffffu, value, 1);
  y[mistake == kOutOfBounds ? i + 1 : i] = value;
}

}  // namespace

int main(int, char** arguments) {
  const int mistake = std::atoi(arguments[1]);
  auto* x = static_cast<float*>(std::malloc(kThreads * sizeof(float)));
  auto* y = static_cast<float*>(std::malloc(kThreads * sizeof(float)));
  for (int i = 0; i < kThreads; ++i) x[i] = static_cast<float>(i);
  if (stylemap::launch(reverse, dim3(1), dim3(kThreads), 0, nullptr, x, y, mistake) != cudaSuccess)
    return 2;
  for (int i = 0; i < kThreads; ++i)
    if (!(y[i] == static_cast<float>(kThreads - 1 - i))) return 3;
  std::free(x);
  std::free(y);
  return 0;
}
