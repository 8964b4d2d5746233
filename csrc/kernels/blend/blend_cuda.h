// CUDA launchers of blend. They allocate nothing and do not synchronise.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/blend/blend.h"

namespace stylemap {

cudaError_t blend_cuda(const BlendParams& params, cudaStream_t stream);

cudaError_t blend_backward_cuda(const BlendBackwardParams& params, cudaStream_t stream);

}  // namespace stylemap
