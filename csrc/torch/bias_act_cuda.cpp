#include "kernels/bias_act/bias_act_cuda.h"

#include "torch/bias_act.h"
#include "torch/cuda.h"

namespace stylemap {
namespace {

Tensor bias_act(Tensor x, std::optional<Tensor> bias, double negative_slope, double gain) {
  const OnDeviceOf device(x);
  x = dense(x);
  if (bias) bias = torch::stable::contiguous(*bias);
  Tensor y = new_like(x);
  check_launch(bias_act_cuda(bias_act_params(x, bias, y, negative_slope, gain), device.stream()),
               "bias_act");
  return y;
}

Tensor bias_act_backward(Tensor grad, Tensor y, double negative_slope, double gain) {
  const OnDeviceOf device(y);
  check_same_shape(grad, y, "grad");
  y = dense(y);
  grad = dense(grad, *layout_of(y));
  Tensor dx = new_like(y);
  check_launch(bias_act_backward_cuda(bias_act_backward_params(grad, y, dx, negative_slope, gain),
                                      device.stream()),
               "bias_act_backward");
  return dx;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) {
  m.impl("bias_act", TORCH_BOX(&bias_act));
  m.impl("bias_act_backward", TORCH_BOX(&bias_act_backward));
}

}  // namespace stylemap
