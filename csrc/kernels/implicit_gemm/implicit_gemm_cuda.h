// CUDA launchers of the tensor-core convolutions: float16 and bfloat16 in and out, sums in float32.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/implicit_gemm/implicit_gemm.h"

namespace stylemap {

cudaError_t conv_act_cuda(const ConvActParams& params, cudaStream_t stream);

cudaError_t modulate_conv_cuda(const ModulateConvParams& params, cudaStream_t stream);

}  // namespace stylemap
