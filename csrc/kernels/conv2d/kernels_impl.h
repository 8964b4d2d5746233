// All loops of one instruction set. Included inside its anonymous namespace, after its vectors.
#include "kernels/conv2d/gemm_impl.h"
#include "kernels/conv2d/input_impl.h"
#include "kernels/conv2d/weight_impl.h"

#include "kernels/conv2d/resample_impl.h"

#include "kernels/conv2d/output_impl.h"
#include "kernels/conv2d/pointwise_impl.h"

#include "kernels/conv2d/up_output_impl.h"

constexpr ConvKernels make_kernels(const char* name) {
  return {
      name,
      {gemm<false>, gemm<true>},
      {begin_gemm<false>, begin_gemm<true>},
      {end_gemm<false>, end_gemm<true>},
      {{transform_weights<2, false>, transform_weights<2, true>,
        transform_weights<2, true, float16>},
       {transform_weights<4, false>, transform_weights<4, true>,
        transform_weights<4, true, float16>},
       {transform_weights<6, false>, transform_weights<6, true>,
        transform_weights<6, true, float16>},
       {transform_weights<kUpWeights, false>, transform_weights<kUpWeights, true>,
        transform_weights<kUpWeights, true, float16>},
       {transform_weights<kDownWeights, false>, transform_weights<kDownWeights, true>,
        transform_weights<kDownWeights, true, float16>}},
      {{transform_input<2, false>, transform_input<2, true>},
       {transform_input<4, false>, transform_input<4, true>},
       {transform_input<6, false>, transform_input<6, true>},
       {transform_up<false>, transform_up<true>},
       {transform_down<false>, transform_down<true>}},
      {transform_output<2, 4>, transform_output<4, 6>, transform_output<6, 8>, nullptr,
       transform_output<2, 3>},
      up_output,
      pointwise,
      to_rgb,
  };
}
