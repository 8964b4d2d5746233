// The convolution kernels for AVX-512 and AMX, whose matrix registers multiply bfloat16. The system
// headers come first: only what follows the pragma, all of it in an anonymous namespace, may use
// the wider instructions.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/toom.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                 \
    __attribute__((                                                                           \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16"))), \
    apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own intrinsics
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16")
#endif

#define SM_HAS_BF16
#define SM_HAS_AMX

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

const ConvKernels kConvAmxBf16 = make_kernels("amx_bf16");

}  // namespace stylemap

#endif
