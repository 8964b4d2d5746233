#include "torch/upfirdn2d.h"

namespace stylemap {
namespace {

Tensor upfirdn2d(Tensor x, Tensor filter, int64_t up, int64_t down, std::vector<int64_t> padding,
                 bool flip_filter) {
  x = dense(x);
  filter = in_dtype(filter, compute_dtype(x));
  Upfirdn2dParams p = upfirdn2d_params(x, filter, up, down, padding, flip_filter);
  Tensor y = new_tensor(x, {p.batch, p.channels, p.out_height, p.out_width}, *layout_of(x));
  p.y = mutable_data(y);
  upfirdn2d_cpu(p);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, CPU, m) { m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }

}  // namespace stylemap
