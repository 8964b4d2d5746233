#include "kernels/upfirdn2d/upfirdn2d_cuda.h"

#include "torch/cuda.h"
#include "torch/upfirdn2d.h"

namespace stylemap {
namespace {

Tensor upfirdn2d(Tensor x, Tensor filter, int64_t up, int64_t down, std::vector<int64_t> padding,
                 bool flip_filter) {
  const OnDeviceOf device(x);
  x = dense(x);
  filter = in_dtype(filter, compute_dtype(x));
  Upfirdn2dParams p = upfirdn2d_params(x, filter, up, down, padding, flip_filter);
  Tensor y = new_tensor(x, {p.batch, p.channels, p.out_height, p.out_width}, *layout_of(x));
  p.y = mutable_data(y);
  check_launch(upfirdn2d_cuda(p, device.stream()), "upfirdn2d");
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) { m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }

}  // namespace stylemap
