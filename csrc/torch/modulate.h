// modulate's parameters from tensors, the same for every device.
#pragma once

#include "kernels/modulate/modulate.h"
#include "torch/tensor.h"

namespace stylemap {

// `x` is dense.
inline NormShape norm_shape(const Tensor& x, int64_t groups) {
  STD_TORCH_CHECK(x.dim() == 4, "x must have 4 dimensions");
  STD_TORCH_CHECK(groups >= 0 && (groups <= 1 || x.size(1) % groups == 0),
                  "groups must divide the channels of x");
  return {.dtype = dtype_of(x, "x"),
          .channels_last = layout_of(x) == Layout::kChannelsLast,
          .batch = x.size(0),
          .channels = x.size(1),
          .pixels = x.size(2) * x.size(3),
          .groups = groups};
}

inline std::vector<int64_t> statistics_shape(const NormShape& shape) {
  if (shape.groups == 0) return {shape.channels};
  return {shape.batch, shape.groups};
}

inline Tensor new_statistics(const Tensor& x, const NormShape& shape) {
  return new_tensor(x, statistics_shape(shape), compute_dtype(x));
}

inline void check_statistics(const Tensor& tensor, const Tensor& x, const NormShape& shape,
                             const char* name) {
  STD_TORCH_CHECK(shape_of(tensor) == statistics_shape(shape) && tensor.is_contiguous() &&
                      tensor.scalar_type() == compute_dtype(x) && tensor.device() == x.device(),
                  name, " must be contiguous, one value per statistic, in x's dtype of statistics");
}

// `x` and `y` are dense; everything must outlive the parameters.
inline ModulateParams modulate_params(const NormShape& shape, const Tensor& x, const Rows& gamma,
                                      const Rows& beta, const Tensor& mean, const Tensor& rstd,
                                      const Tensor& y) {
  return {.shape = shape,
          .x = data(x),
          .gamma = data(gamma.tensor),
          .beta = data(beta.tensor),
          .mean = data(mean),
          .rstd = data(rstd),
          .y = mutable_data(y),
          .gamma_stride = gamma.stride,
          .beta_stride = beta.stride};
}

}  // namespace stylemap
