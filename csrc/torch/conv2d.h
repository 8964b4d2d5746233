// Checks that the bindings of conv2d share.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

namespace stylemap::conv2d_binding {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline void check(const Tensor& tensor, const char* name, ScalarType dtype, int64_t dim) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == dtype,
                  "conv2d: ", name, " must be a contiguous ",
                  dtype == ScalarType::Float    ? "float32"
                  : dtype == ScalarType::Double ? "float64"
                  : dtype == ScalarType::Half   ? "float16"
                                                : "uint8",
                  " tensor on the CPU");
  STD_TORCH_CHECK(tensor.dim() == dim, "conv2d: ", name, " must have ", dim, " dimensions, not ",
                  tensor.dim());
}

// n x h x w x c; a batch of one is also allowed unless `exact`.
inline void check_shape(const Tensor& tensor, const char* name, bool exact, int64_t n, int64_t h,
                        int64_t w, int64_t c) {
  check(tensor, name, ScalarType::Float, 4);
  STD_TORCH_CHECK((tensor.size(0) == n || (tensor.size(0) == 1 && !exact)) && tensor.size(1) == h &&
                      tensor.size(2) == w && tensor.size(3) == c,
                  "conv2d: ", name, " must be ", n, " x ", h, " x ", w, " x ", c, ", not ",
                  tensor.size(0), " x ", tensor.size(1), " x ", tensor.size(2), " x ",
                  tensor.size(3));
}

// mean and rstd, [batch or 1][channels] both.
inline void check_moments(const Tensor& mean, const Tensor& rstd, int64_t batch, int64_t channels) {
  for (const Tensor* moments : {&mean, &rstd}) {
    check(*moments, "mean and rstd", ScalarType::Float, 2);
    STD_TORCH_CHECK(moments->size(0) == mean.size(0) && moments->size(1) == channels &&
                        (mean.size(0) == batch || mean.size(0) == 1),
                    "conv2d: mean and rstd must be ", batch, " x ", channels, " or 1 x ", channels);
  }
}

// Elements from sample to sample; a batch of one broadcasts.
inline int64_t batch_stride(const Tensor& tensor) {
  return tensor.size(0) == 1 ? 0 : tensor.numel() / tensor.size(0);
}

inline int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

}  // namespace stylemap::conv2d_binding
