#include "kernels/blend/blend_cuda.h"

#include <tuple>

#include "torch/blend.h"
#include "torch/cuda.h"

namespace stylemap {
namespace {

Tensor blend(Tensor code, Tensor reference, Tensor mask, Tensor weight, int64_t dx, int64_t dy) {
  const OnDeviceOf device(code);
  check_blend(code, mask, weight);
  check_same_kind(reference, code, "reference");
  STD_TORCH_CHECK(reference.dim() == 4 && reference.size(1) == code.size(1) &&
                      reference.size(2) == code.size(2) && reference.size(3) == code.size(3),
                  "reference must have the channels and size of code");
  code = dense(code);
  const Layout layout = *layout_of(code);
  reference = dense(reference, layout);
  mask = in_dtype(mask, ScalarType::Bool);
  weight = in_dtype(weight, compute_dtype(code));
  std::vector<int64_t> shape = shape_of(code);
  shape[0] = joint_batch({code.size(0), reference.size(0), mask.size(0), weight.size(0)});
  Tensor y = new_tensor(code, shape, layout);
  check_launch(blend_cuda(blend_params(code, reference, mask, weight, y, dx, dy), device.stream()),
               "blend");
  return y;
}

std::tuple<Tensor, Tensor> blend_backward(Tensor grad, Tensor mask, Tensor weight, int64_t dx,
                                          int64_t dy) {
  const OnDeviceOf device(grad);
  check_blend(grad, mask, weight);
  grad = dense(grad);
  mask = in_dtype(mask, ScalarType::Bool);
  weight = in_dtype(weight, compute_dtype(grad));
  Tensor dcode = new_like(grad), dreference = new_like(grad);
  const auto params = blend_backward_params(grad, mask, weight, dcode, dreference, dx, dy);
  check_launch(blend_backward_cuda(params, device.stream()), "blend_backward");
  return {dcode, dreference};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) {
  m.impl("blend", TORCH_BOX(&blend));
  m.impl("blend_backward", TORCH_BOX(&blend_backward));
}

}  // namespace stylemap
