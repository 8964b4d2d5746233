// What every CUDA source needs: shared memory, launching, grid arithmetic.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>

#include "kernels/common/dtype.h"

// SM_SHARED(float, name) declares a shared variable; an array type needs an alias first.
#if !defined(SM_SHARED)
#define SM_SHARED(type, name) __shared__ type name
#define SM_DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#endif

// Elements up to this many are counted in 32 bits. The tests set it low to run the 64-bit kernels.
#if !defined(SM_INDEX_LIMIT)
#define SM_INDEX_LIMIT INT32_MAX
#endif

namespace stylemap {

constexpr int64_t kIndexLimit = SM_INDEX_LIMIT;
constexpr int kWarpSize = 32;

// Quotient and remainder of a block's number. Grids have fewer than 2^31 blocks: 32-bit divisions
// do, at a fifth of the price, which every thread pays.
struct Split {
  uint32_t quotient;
  uint32_t remainder;
};

SM_HOST_DEVICE Split split(uint32_t number, int64_t by) {
  const auto divisor = static_cast<uint32_t>(by);
  return {number / divisor, number % divisor};
}

// The same division by a number that is known when a kernel is launched: a multiplication, for
// numbers below 2^31 (Granlund, Montgomery 1994). ceil(2^(31 + s) / by), s = ceil(log2 by), is too
// large by less than 2^s / by of its unit, too little to reach the next quotient.
struct Divisor {
  uint32_t by;
  uint32_t factor;
  uint32_t shift;

  Divisor() = default;
  explicit Divisor(int64_t divisor) : by(static_cast<uint32_t>(divisor)), factor(0), shift(0) {
    if (by <= 1) return;
    while ((uint64_t{1} << shift) < by) ++shift;
    factor = static_cast<uint32_t>(((uint64_t{1} << (31 + shift)) + by - 1) / by);
    --shift;
  }

  SM_HOST_DEVICE Split operator()(uint32_t number) const {
    const auto high = static_cast<uint32_t>((uint64_t{number} * factor) >> 32);
    const uint32_t quotient = by <= 1 ? number : high >> shift;
    return {quotient, number - quotient * by};
  }
};

// What every kernel does before it touches memory: waits for the kernels before it in its stream,
// and lets the one after it be started as soon as all blocks of this one have begun. The next one's
// way to the device, and what it works out before it waits, then pass while this one runs.
__device__ __forceinline__ void wait_for_earlier_kernels() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Whether the current device starts kernels early; those before sm_90 do not know of it.
inline bool starts_early() {
  constexpr int kMostDevices = 64, kFirstMajor = 9;
  static std::atomic<int> known[kMostDevices];  // 0: not asked yet; 1: no; 2: yes
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) return false;
  if (known[device] == 0) {
    const cudaError_t error =
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    known[device] = error == cudaSuccess && major >= kFirstMajor ? 2 : 1;
  }
  return known[device] == 2;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Launches kernel(arguments...) and returns the launch's error; the kernel begins with
// wait_for_earlier_kernels.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                   cudaStream_t stream, Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = starts_early() ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

// One thread per element of [0, count), kThreads to a block.
template <int kThreads, class... Parameters, class... Arguments>
cudaError_t launch_elements(void (*kernel)(Parameters...), int64_t count, cudaStream_t stream,
                            Arguments... arguments) {
  const int64_t blocks = ceil_div(count, kThreads);
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream,
                arguments...);
}

}  // namespace stylemap
