// bias_act: y = leaky_relu(x + bias[channel], negative_slope) * gain.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace stylemap {

// Element i belongs to channel (i / inner) % channels: an N x C x H x W tensor is [N, C, H*W], a
// channels_last one is [N*H*W, C, 1].
struct BiasActParams {
  DType dtype;
  const void* x;     // [outer, channels, inner]
  const void* bias;  // [channels], or null for no bias
  void* y;           // [outer, channels, inner]; may be x itself
  int64_t outer;
  int64_t channels;
  int64_t inner;
  double negative_slope;  // >= 0
  double gain;            // > 0
};

// dx = grad * (y > 0 ? gain : gain * negative_slope), the derivative read off the output's sign.
struct BiasActBackwardParams {
  DType dtype;
  const void* grad;  // [count]
  const void* y;     // [count], the output of bias_act
  void* dx;          // [count]
  int64_t count;
  double negative_slope;
  double gain;
};

void bias_act_cpu(const BiasActParams& params);
void bias_act_backward_cpu(const BiasActBackwardParams& params);

template <class C>
SM_HOST_DEVICE C bias_act_element(C x, C bias, C negative_slope, C gain) {
  const C sum = x + bias;
  const C positive = sum * gain;
  const C negative = sum * negative_slope * gain;
  return sum > C(0) ? positive : negative;
}

template <class C>
SM_HOST_DEVICE C bias_act_backward_element(C grad, C y, C negative_slope, C gain) {
  const C positive = grad * gain;
  const C negative = grad * negative_slope * gain;
  return y > C(0) ? positive : negative;
}

}  // namespace stylemap
