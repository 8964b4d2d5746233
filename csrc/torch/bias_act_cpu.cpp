#include "torch/bias_act.h"

namespace stylemap {
namespace {

Tensor bias_act(Tensor x, std::optional<Tensor> bias, double negative_slope, double gain) {
  x = dense(x);
  if (bias) bias = torch::stable::contiguous(*bias);
  Tensor y = new_like(x);
  bias_act_cpu(bias_act_params(x, bias, y, negative_slope, gain));
  return y;
}

Tensor bias_act_backward(Tensor grad, Tensor y, double negative_slope, double gain) {
  check_same_shape(grad, y, "grad");
  y = dense(y);
  grad = dense(grad, *layout_of(y));
  Tensor dx = new_like(y);
  bias_act_backward_cpu(bias_act_backward_params(grad, y, dx, negative_slope, gain));
  return dx;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, CPU, m) {
  m.impl("bias_act", TORCH_BOX(&bias_act));
  m.impl("bias_act_backward", TORCH_BOX(&bias_act_backward));
}

}  // namespace stylemap
