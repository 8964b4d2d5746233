// The convolution kernels for AVX-512. The system headers come first: only what follows the
// pragma, all of it in an anonymous namespace, may use the wider instructions.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/toom.h"

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own intrinsics
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

namespace stylemap {
namespace {
#include "kernels/conv2d/vec_avx512.h"

#include "kernels/conv2d/kernels_impl.h"
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const ConvKernels kConvAvx512 = make_kernels("avx512");

}  // namespace stylemap

#endif
