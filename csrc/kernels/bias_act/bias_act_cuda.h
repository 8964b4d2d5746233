// CUDA launchers of bias_act. They allocate nothing and do not synchronise.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/bias_act/bias_act.h"

namespace stylemap {

cudaError_t bias_act_cuda(const BiasActParams& params, cudaStream_t stream);

// Its own double backward: linear in grad.
cudaError_t bias_act_backward_cuda(const BiasActBackwardParams& params, cudaStream_t stream);

}  // namespace stylemap
