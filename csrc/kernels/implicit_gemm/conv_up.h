// Transposed convolutions of few pixels, by taps: every input pixel times all nine taps is one
// product of equal blocks, and a second kernel adds the up to four that fall on an output pixel.
#pragma once

#include "kernels/implicit_gemm/implicit_gemm_cuda.h"

namespace stylemap {

// For products that takes_taps (choice.h) is true of, with sums.
cudaError_t conv_up_cuda(const ConvActParams& params, cudaStream_t stream);

// Floats that gemm.sums take.
int64_t conv_up_workspace(const ImplicitGemm& gemm);

}  // namespace stylemap
