// What the CUDA bindings share: the current device and stream, and errors.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include <optional>

#include "torch/tensor.h"

// Resolved when the library is loaded beside a CUDA build of torch, and not needed otherwise.
#pragma weak aoti_torch_get_current_cuda_stream

// The tests register the same bindings, on emulated kernels, for another key.
#if !defined(SM_CUDA_KEY)
#define SM_CUDA_KEY CUDA
#endif

namespace stylemap {

// Makes the device of a tensor current for as long as it lives, and knows torch's stream on it.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& tensor) {
    if (!tensor.is_cuda()) return;
    const auto index = tensor.get_device_index();
    guard_.emplace(index);
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index, &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  cudaStream_t stream() const { return stream_; }

 private:
  std::optional<torch::stable::accelerator::DeviceGuard> guard_;
  cudaStream_t stream_ = nullptr;
};

inline void check_launch(cudaError_t error, const char* op) {
  STD_TORCH_CHECK(error == cudaSuccess, "stylemap::", op, " failed: ", cudaGetErrorString(error));
}

}  // namespace stylemap
