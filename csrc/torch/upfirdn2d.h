// upfirdn2d's parameters from tensors, the same for every device.
#pragma once

#include "kernels/upfirdn2d/upfirdn2d.h"
#include "torch/tensor.h"

namespace stylemap {

// Everything but y and the activation, with out_height and out_width computed. `x` is dense;
// `filter` is contiguous, on x's device and of x's compute dtype; both must outlive the parameters.
// `padding` is left, right, top, bottom.
inline Upfirdn2dParams upfirdn2d_params(const Tensor& x, const Tensor& filter, int64_t up,
                                        int64_t down, const std::vector<int64_t>& padding,
                                        bool flip_filter) {
  STD_TORCH_CHECK(x.dim() == 4, "x must have 4 dimensions");
  STD_TORCH_CHECK(filter.dim() == 2 && filter.numel() > 0, "filter must have 2 dimensions");
  STD_TORCH_CHECK(up >= 1 && down >= 1, "up and down must be at least 1");
  STD_TORCH_CHECK(padding.size() == 4, "padding must be left, right, top, bottom");
  Upfirdn2dParams p{};
  p.dtype = dtype_of(x, "x");
  p.channels_last = layout_of(x) == Layout::kChannelsLast;
  p.x = data(x);
  p.filter = data(filter);
  p.batch = x.size(0);
  p.channels = x.size(1);
  p.in_height = x.size(2);
  p.in_width = x.size(3);
  p.filter_height = filter.size(0);
  p.filter_width = filter.size(1);
  p.up = up;
  p.down = down;
  p.pad_left = padding[0];
  p.pad_top = padding[2];
  p.flip_filter = flip_filter;
  p.out_width = upfirdn_size(p.in_width, up, down, padding[0], padding[1], p.filter_width);
  p.out_height = upfirdn_size(p.in_height, up, down, padding[2], padding[3], p.filter_height);
  STD_TORCH_CHECK(p.out_width > 0 && p.out_height > 0, "filter is larger than the padded x");
  return p;
}

}  // namespace stylemap
