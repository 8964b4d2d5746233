// CUDA launchers of upfirdn2d. They allocate nothing and do not synchronise.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/common/moments.h"
#include "kernels/upfirdn2d/upfirdn2d.h"

namespace stylemap {

// What the engine adds to the pass, for channels_last x and the 4 x 4 filter only.
struct Upfirdn2dFusion {
  const void* residual;  // y = (y + residual) * residual_gain, as y; or null
  double residual_gain;
  // Moments of what each block wrote, for a layer norm of y: [batch, upfirdn2d_chunks()]; or null.
  Moments<float>* partials;
};

cudaError_t upfirdn2d_cuda(const Upfirdn2dParams& params, cudaStream_t stream);

// Whether the fused pass takes these parameters.
bool upfirdn2d_fuses(const Upfirdn2dParams& params);
cudaError_t upfirdn2d_fused_cuda(const Upfirdn2dParams& params, const Upfirdn2dFusion& fusion,
                                 cudaStream_t stream);

// Blocks of the fused pass that share a sample.
int64_t upfirdn2d_chunks(const Upfirdn2dParams& params);

}  // namespace stylemap
