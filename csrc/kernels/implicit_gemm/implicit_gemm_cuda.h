// CUDA launchers of the tensor-core convolutions: float16 and bfloat16 in and out, sums in float32.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/implicit_gemm/implicit_gemm.h"

namespace stylemap {

cudaError_t conv_act_cuda(const ConvActParams& params, cudaStream_t stream);

// Convolutions of listed rows, as conv_act_cuda computes each of them, side by side in two
// launches: what they read they must not write. All of one dtype, at most kMostGrouped, without
// skip or partials. `sums`: [conv_rows_group_workspace()].
constexpr int kMostGrouped = 16;
cudaError_t conv_rows_group_cuda(const ConvActParams* params, int count, float* sums,
                                 cudaStream_t stream);
int64_t conv_rows_group_workspace(const ConvActParams* params, int count);

cudaError_t modulate_conv_cuda(const ModulateConvParams& params, cudaStream_t stream);

}  // namespace stylemap
