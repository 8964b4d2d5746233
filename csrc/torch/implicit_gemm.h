// Parameters of the tensor-core convolutions from tensors.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "kernels/common/pack.h"
#include "kernels/implicit_gemm/implicit_gemm.h"
#include "torch/tensor.h"

namespace stylemap {

// `x` and `weight` (out x in x size x size) are channels_last and must outlive the parameters.
inline ImplicitGemm implicit_gemm(const Tensor& x, const Tensor& weight, int64_t stride,
                                  int64_t padding, bool transposed, int64_t tile = 0) {
  check_same_kind(weight, x, "weight");
  STD_TORCH_CHECK(x.dim() == 4 && weight.dim() == 4 && weight.size(1) == x.size(1) &&
                      weight.size(2) == weight.size(3),
                  "weight must be out x C x k x k for x of N x C x H x W");
  STD_TORCH_CHECK(x.size(0) * x.size(2) * x.size(3) <= INT32_MAX, "x has too many pixels");
  ImplicitGemm g{};
  g.dtype = dtype_of(x, "x");
  g.x = data(x);
  g.weight = data(weight);
  g.samples = static_cast<int>(x.size(0));
  g.height = static_cast<int>(x.size(2));
  g.width = static_cast<int>(x.size(3));
  g.in_channels = static_cast<int>(x.size(1));
  g.columns = static_cast<int>(weight.size(0));
  g.size = static_cast<int>(weight.size(2));
  g.stride = static_cast<int>(stride);
  g.padding = static_cast<int>(padding);
  g.transposed = transposed;
  g.tile = static_cast<int>(tile);
  return g;
}

// The tensor itself where it lies in the layout and is aligned to 16 bytes, as the kernels read it;
// otherwise a copy. A view that begins at an odd element is dense, but not aligned.
inline Tensor packed(const Tensor& tensor, Layout layout) {
  const Tensor result = dense(tensor, layout);
  return aligned_to_pack(data(result)) ? result : torch::stable::clone(result);
}

// Gives a product the memory that the parts of its sum take, where it is better split, and returns
// it, to be kept until the launch. `columns` of the product.
inline std::optional<Tensor> new_sums(ImplicitGemm& g, int64_t columns, const Tensor& like) {
  const int64_t count = implicit_gemm_workspace(g, static_cast<int>(columns));
  if (count == 0) return std::nullopt;
  Tensor sums = new_tensor(like, {count}, ScalarType::Float);
  g.sums = static_cast<float*>(mutable_data(sums));
  return sums;
}

// Whether the tensor-core kernels take these operands, which are packed.
inline bool suits_tensor_cores(const Tensor& x, const Tensor& weight) {
  return implicit_gemm_suits(implicit_gemm(x, weight, 1, 0, false));
}

inline void check_suits(const ImplicitGemm& g) {
  STD_TORCH_CHECK(
      implicit_gemm_suits(g),
      "the tensor-core convolutions take float16 or bfloat16, channels in multiples of "
      "8, kernels of 1 x 1 or 3 x 3, tiles of 0, 64 or 128 and 16-byte aligned tensors");
}

}  // namespace stylemap
