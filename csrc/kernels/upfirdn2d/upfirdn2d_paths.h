// The paths that upfirdn2d_cuda chooses from.
#pragma once

#include "kernels/upfirdn2d/upfirdn2d_cuda.h"

namespace stylemap {

// Four taps, channels_last, whole aligned packs of channels.
bool suits_pixels(const Upfirdn2dParams& params);
cudaError_t upfirdn2d_pixels(const Upfirdn2dParams& params, const Upfirdn2dFusion& fusion,
                             cudaStream_t stream);

// Four taps, contiguous.
bool suits_planes(const Upfirdn2dParams& params);
cudaError_t upfirdn2d_planes(const Upfirdn2dParams& params, cudaStream_t stream);

}  // namespace stylemap
