// bias_act's parameters from tensors, the same for every device.
#pragma once

#include "kernels/bias_act/bias_act.h"
#include "torch/tensor.h"

namespace stylemap {

// `x` is dense and lies as `y` does. `bias` must outlive the parameters.
inline BiasActParams bias_act_params(const Tensor& x, const std::optional<Tensor>& bias,
                                     const Tensor& y, double negative_slope, double gain) {
  STD_TORCH_CHECK(x.dim() >= 2, "x must have at least 2 dimensions");
  const int64_t channels = x.size(1);
  if (bias) {
    check_same_kind(*bias, x, "bias");
    STD_TORCH_CHECK(bias->dim() == 1 && bias->size(0) == channels && bias->is_contiguous(),
                    "bias must be contiguous with one value per channel of x");
  }
  const bool pixels = layout_of(x) == Layout::kChannelsLast;
  const int64_t plane = x.size(0) * channels == 0 ? 0 : x.numel() / (x.size(0) * channels);
  return {.dtype = dtype_of(x, "x"),
          .x = data(x),
          .bias = bias ? data(*bias) : nullptr,
          .y = mutable_data(y),
          .outer = pixels ? x.size(0) * plane : x.size(0),
          .channels = channels,
          .inner = pixels ? 1 : plane,
          .negative_slope = negative_slope,
          .gain = gain};
}

inline BiasActBackwardParams bias_act_backward_params(const Tensor& grad, const Tensor& y,
                                                      const Tensor& dx, double negative_slope,
                                                      double gain) {
  return {.dtype = dtype_of(y, "y"),
          .grad = data(grad),
          .y = data(y),
          .dx = mutable_data(dx),
          .count = y.numel(),
          .negative_slope = negative_slope,
          .gain = gain};
}

}  // namespace stylemap
