// Stands in for the CUDA runtime: the functions that compiled launchers call, on the engine. Device
// memory is host memory.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "machine.h"

namespace {

constexpr int kMostShared = 227 << 10, kSharedUnasked = 48 << 10;

// Functions register themselves before main, in an order that no static of this file may depend on.
std::map<const void*, std::string>& functions() {
  static std::map<const void*, std::string> names;
  return names;
}

std::map<const void*, size_t>& allowed_shared() {
  static std::map<const void*, size_t> bytes;
  return bytes;
}

std::mutex& mutex() {
  static std::mutex one;
  return one;
}

void set_up() {
  static const bool done = [] {
    const char* folder = std::getenv("STYLEMAP_SASS_PROGRAMS");
    if (!folder) throw sass::Unknown("STYLEMAP_SASS_PROGRAMS names no folder");
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.path().extension() == ".program") sass::load_program(entry.path());
    if (const char* order = std::getenv("STYLEMAP_SASS_ORDER"))
      sass::machine.settings.order = static_cast<uint32_t>(std::atoi(order));
    return true;
  }();
  (void)done;
}

// Whether launches are counted and not executed.
bool only_counted = false;

bool valid(const dim3& grid, const dim3& block) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= 1024 && block.z <= 64 && grid.x >= 1 && grid.x <= 0x7fffffffu &&
         grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
}

cudaError_t start(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared) {
  const std::lock_guard<std::mutex> guard(mutex());
  const auto name = functions().find(function);
  if (name == functions().end()) return cudaErrorInvalidDeviceFunction;
  if (!valid(grid, block)) return cudaErrorInvalidConfiguration;
  const auto allowed = allowed_shared().find(function);
  if (shared > (allowed == allowed_shared().end() ? kSharedUnasked : allowed->second))
    return cudaErrorInvalidValue;
  if (only_counted) {
    ++sass::machine.counts.launches;
    return cudaSuccess;
  }
  try {
    set_up();
    sass::Kernel& kernel = sass::kernel(name->second);
    const sass::Launch launch{
        &kernel, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared};
    return sass::run(launch, arguments) ? cudaSuccess : cudaErrorLaunchFailure;
  } catch (const sass::Unknown& unknown) {
    sass::machine.fault = unknown.what();
    return cudaErrorNotSupported;
  }
}

}  // namespace

extern "C" {

// From now on launches are counted and nothing else, or executed again: sizes that take too long.
void sass_only_count(int on) { only_counted = on != 0; }

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  functions()[host] = name;
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, CUstream_st*) { std::abort(); }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { std::abort(); }

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               size_t shared, cudaStream_t) {
  return start(kernel, grid, block, arguments, shared);
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             size_t shared, cudaStream_t) {
  return start(function, grid, block, arguments, shared);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** arguments) {
  return start(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > kMostShared) return cudaErrorInvalidValue;
  allowed_shared()[function] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  constexpr size_t kAlignment = 256;
  *memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  std::memset(*memory, 0xff, bytes);
  sass::add_allocation(reinterpret_cast<uint64_t>(*memory), bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  sass::remove_allocation(reinterpret_cast<uint64_t>(memory));
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    default:
      return sass::machine.fault.c_str();
  }
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  constexpr int kMajor = 9;
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? kMajor : 0;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

}  // extern "C"
