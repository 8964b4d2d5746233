// The convolution kernels for aarch64 with bfloat16 dot products (Armv8.6, and Armv8.2 with BF16).
// The system headers come first: only what follows the pragma, all of it in an anonymous namespace,
// may use these instructions.
#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>

#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/toom.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+bf16")
#endif

#define SM_GEMM_BY_LANES
#define SM_HAS_BF16

namespace stylemap {
namespace {
#include "kernels/conv2d/vec_neon.h"

#include "kernels/conv2d/kernels_impl.h"
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const ConvKernels kConvNeonBf16 = make_kernels("neon_bf16");

}  // namespace stylemap

#endif
