// The convolution kernels for aarch64.
#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>

#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/toom.h"

#define SM_GEMM_BY_LANES

namespace stylemap {
namespace {
#include "kernels/conv2d/vec_neon.h"

#include "kernels/conv2d/kernels_impl.h"
}  // namespace

const ConvKernels kConvNeon = make_kernels("neon");

}  // namespace stylemap

#endif
