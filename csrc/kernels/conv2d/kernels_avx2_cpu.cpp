// The convolution kernels for AVX2. The system headers come first: only what follows the
// pragma, all of it in an anonymous namespace, may use the wider instructions.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/toom.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace stylemap {
namespace {
#include "kernels/conv2d/vec_avx2.h"

#include "kernels/conv2d/kernels_impl.h"
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const ConvKernels kConvAvx2 = make_kernels("avx2");

}  // namespace stylemap

#endif
