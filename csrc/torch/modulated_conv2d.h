// The checks of modulated_conv2d, the same for every device.
#pragma once

#include "torch/tensor.h"

namespace stylemap {

// x: N x C x H x W; style: N x S x H x W; weight: out x C x k x k; gamma's and beta's convolutions:
// C x S x 3 x 3 and C.
inline void check_modulated_conv2d(const Tensor& x, const Tensor& style, const Tensor& weight,
                                   const Tensor& bias, const Tensor& gamma_weight,
                                   const Tensor& gamma_bias, const Tensor& beta_weight,
                                   const Tensor& beta_bias, bool up) {
  STD_TORCH_CHECK(x.dim() == 4, "x must have 4 dimensions");
  STD_TORCH_CHECK(style.dim() == 4 && style.size(0) == x.size(0) && style.size(2) == x.size(2) &&
                      style.size(3) == x.size(3),
                  "style must have the batch and size of x");
  STD_TORCH_CHECK(weight.dim() == 4 && weight.size(1) == x.size(1) &&
                      weight.size(2) == weight.size(3) && (!up || weight.size(2) == 3),
                  "weight must be out x C x k x k, with k 3 before a filter");
  STD_TORCH_CHECK(bias.dim() == 1 && bias.size(0) == weight.size(0),
                  "bias must have one value per output channel");
  for (const Tensor* w : {&gamma_weight, &beta_weight})
    STD_TORCH_CHECK(shape_of(*w) == (std::vector<int64_t>{x.size(1), style.size(1), 3, 3}),
                    "gamma_weight and beta_weight must be C x style channels x 3 x 3");
  for (const Tensor* b : {&gamma_bias, &beta_bias})
    STD_TORCH_CHECK(b->dim() == 1 && b->size(0) == x.size(1),
                    "gamma_bias and beta_bias must have one value per channel of x");
  for (const Tensor* t :
       {&style, &weight, &bias, &gamma_weight, &gamma_bias, &beta_weight, &beta_bias})
    check_same_kind(*t, x, "an operand of modulated_conv2d");
}

}  // namespace stylemap
