// PyTorch's own operators, through the dispatcher.
#pragma once

#include "torch/tensor.h"

namespace stylemap {

// aten::convolution without dilation, output padding or groups, the same along both axes. For a
// transposed one `weight` is in x out x k x k.
inline Tensor convolution(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                          int64_t stride, int64_t padding, bool transposed) {
  using torch::stable::detail::from;
  const std::vector<int64_t> strides(2, stride), paddings(2, padding), ones(2, 1), zeros(2, 0);
  std::array<StableIValue, 9> stack{from(x),          from(weight),   from(bias),
                                    from(strides),    from(paddings), from(ones),
                                    from(transposed), from(zeros),    from(int64_t{1})};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::convolution", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

}  // namespace stylemap
