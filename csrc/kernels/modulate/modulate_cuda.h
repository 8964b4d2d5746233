// CUDA launchers of modulate. They allocate nothing and do not synchronise.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/common/moments.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {

// Workspaces are arrays of the compute type (float64 for float64 x, otherwise float32).
int64_t moments_workspace(const MomentsParams& params);
cudaError_t moments_cuda(const MomentsParams& params, void* workspace, cudaStream_t stream);

// mean and rstd of [batch, chunks] partial moments of whole samples, as the fused passes leave
// them.
cudaError_t join_moments_cuda(const Moments<float>* partials, int64_t batch, int64_t chunks,
                              double eps, float* mean, float* rstd, cudaStream_t stream);

cudaError_t modulate_cuda(const ModulateParams& params, cudaStream_t stream);

int64_t modulate_backward_workspace(const ModulateBackwardParams& params);
cudaError_t modulate_backward_cuda(const ModulateBackwardParams& params, void* workspace,
                                   cudaStream_t stream);

}  // namespace stylemap
