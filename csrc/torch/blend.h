// blend's parameters from tensors, the same for every device.
#pragma once

#include <algorithm>

#include "kernels/blend/blend.h"
#include "torch/tensor.h"

namespace stylemap {

// Elements from a sample to the next of a dense tensor; 0 where one sample serves the whole batch.
inline int64_t sample_stride(const Tensor& tensor, int64_t batch, const char* name) {
  STD_TORCH_CHECK(tensor.size(0) == batch || tensor.size(0) == 1, name,
                  " must have 1 sample or as many as the batch");
  return tensor.size(0) == 1 || batch == 0 ? 0 : tensor.numel() / batch;
}

// `mask` is a contiguous bool tensor N x 1 x H x W, `weight` a contiguous one of N values in x's
// compute dtype, N being 1 or the batch.
inline void check_blend(const Tensor& x, const Tensor& mask, const Tensor& weight) {
  STD_TORCH_CHECK(x.dim() == 4, "code must have 4 dimensions");
  STD_TORCH_CHECK(mask.dim() == 4 && mask.size(1) == 1 && mask.size(2) == x.size(2) &&
                      mask.size(3) == x.size(3) && mask.scalar_type() == ScalarType::Bool &&
                      mask.device() == x.device(),
                  "mask must be a bool tensor N x 1 x H x W on the device of code");
  STD_TORCH_CHECK(weight.dim() == 1 && weight.device() == x.device(),
                  "weight must have one dimension and be on the device of code");
}

// The size of the batch that operands of one sample or of a whole batch make.
inline int64_t joint_batch(const std::vector<int64_t>& sizes) {
  int64_t batch = 1;
  for (const int64_t size : sizes)
    if (size != 1) batch = size;
  return batch;
}

// code, reference and y are dense in y's layout; everything must outlive the parameters.
inline BlendParams blend_params(const Tensor& code, const Tensor& reference, const Tensor& mask,
                                const Tensor& weight, const Tensor& y, int64_t dx, int64_t dy) {
  const int64_t batch = y.size(0);
  return {.dtype = dtype_of(y, "code"),
          .channels_last = layout_of(y) == Layout::kChannelsLast,
          .code = data(code),
          .reference = data(reference),
          .mask = static_cast<const bool*>(data(mask)),
          .weight = data(weight),
          .y = mutable_data(y),
          .batch = batch,
          .channels = y.size(1),
          .height = y.size(2),
          .width = y.size(3),
          .code_stride = sample_stride(code, batch, "code"),
          .reference_stride = sample_stride(reference, batch, "reference"),
          .mask_stride = sample_stride(mask, batch, "mask"),
          .weight_stride = sample_stride(weight, batch, "weight"),
          .dx = dx,
          .dy = dy};
}

inline BlendBackwardParams blend_backward_params(const Tensor& grad, const Tensor& mask,
                                                 const Tensor& weight, const Tensor& dcode,
                                                 const Tensor& dreference, int64_t dx, int64_t dy) {
  const int64_t batch = grad.size(0);
  return {.dtype = dtype_of(grad, "grad"),
          .channels_last = layout_of(grad) == Layout::kChannelsLast,
          .grad = data(grad),
          .mask = static_cast<const bool*>(data(mask)),
          .weight = data(weight),
          .dcode = mutable_data(dcode),
          .dreference = mutable_data(dreference),
          .batch = batch,
          .channels = grad.size(1),
          .height = grad.size(2),
          .width = grad.size(3),
          .mask_stride = sample_stride(mask, batch, "mask"),
          .weight_stride = sample_stride(weight, batch, "weight"),
          .dx = dx,
          .dy = dy};
}

}  // namespace stylemap
