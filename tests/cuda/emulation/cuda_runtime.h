// Stands in for <cuda_runtime.h> when g++ compiles a .cu file for the emulation.
#pragma once

#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

// Defined here, kernels' own definitions (plain __shared__) are left out.
#define SM_SHARED(type, name) type& name = emulation::shared_variable<type>([] {})
#define SM_DYNAMIC_SHARED(name) \
  unsigned char* const name = static_cast<unsigned char*>(emulation::dynamic_shared())

struct alignas(8) int2 {
  int x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace emulation {

// `Tag` is the type of a lambda, another at every place it is written.
template <class T, class Tag>
T& shared_variable(Tag) {
  static const char key = 0;
  return *static_cast<T*>(shared(&key, sizeof(T)));
}

template <class T>
T from_lane(T value, unsigned source) {
  T result;
  std::memcpy(&result, exchange(&value, sizeof(T)) + source * kExchangeBytes, sizeof(T));
  return result;
}

}  // namespace emulation

inline void __syncthreads() { emulation::block_barrier(); }

inline void require_full_mask(unsigned mask) {
  if (mask != 0xffffffffu) emulation::fail("warp exchange with a partial mask");
}

inline void __syncwarp(unsigned mask = 0xffffffffu) {
  require_full_mask(mask);
  emulation::warp_barrier();
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  require_full_mask(mask);
  const unsigned group = emulation::lane() / width * width;
  return emulation::from_lane(value, group + static_cast<unsigned>(source) % width);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int width = 32) {
  require_full_mask(mask);
  const unsigned lane = emulation::lane();
  const unsigned source = lane ^ static_cast<unsigned>(distance);
  return emulation::from_lane(value, source / width == lane / width ? source : lane);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  require_full_mask(mask);
  const unsigned lane = emulation::lane();
  return emulation::from_lane(value,
                              lane % width + distance < unsigned(width) ? lane + distance : lane);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}

inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline double rsqrt(double value) { return 1.0 / std::sqrt(value); }

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, {std::forward<Arguments>(arguments)...}};
  const auto body = [](void* context) {
    const auto& call = *static_cast<const Call*>(context);
    std::apply(call.kernel, call.arguments);
  };
  const emulation::Launch launch{config->gridDim, config->blockDim, config->dynamicSmemBytes,
                                 reinterpret_cast<const void*>(kernel)};
  switch (emulation::run(launch, body, &call)) {
    case emulation::LaunchResult::kOk:
      return cudaSuccess;
    case emulation::LaunchResult::kInvalidConfiguration:
      return cudaErrorInvalidConfiguration;
    case emulation::LaunchResult::kInvalidValue:
      return cudaErrorInvalidValue;
  }
  return cudaErrorInvalidValue;
}

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  const bool possible = emulation::allow_dynamic_shared(reinterpret_cast<const void*>(kernel),
                                                        static_cast<size_t>(bytes));
  return possible ? cudaSuccess : cudaErrorInvalidValue;
}
