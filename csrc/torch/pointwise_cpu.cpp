// pointwise, to_rgb: the 1 x 1 convolutions of the CPU inference plan (kernels/conv2d/pointwise.h).
#include <torch/csrc/stable/library.h>

#include "kernels/conv2d/pointwise.h"
#include "torch/conv2d.h"

namespace {

using namespace stylemap::conv2d_binding;

Tensor pointwise_pack(Tensor weight, bool bf16) {
  check(weight, "weight", ScalarType::Double, 2);
  STD_TORCH_CHECK(
      weight.size(0) % stylemap::kBlock == 0 && weight.size(1) % stylemap::kChannels == 0,
      "pointwise_pack: weight must be 32 a x 16 b");
  const int64_t pair = bf16 ? 2 : 1;
  Tensor packed = torch::stable::new_empty(
      weight, {weight.size(0) / stylemap::kBlock, weight.size(1) / pair, stylemap::kBlock * pair},
      bf16 ? ScalarType::BFloat16 : ScalarType::Float);
  stylemap::pointwise_pack(weight.const_data_ptr<double>(), weight.size(0), weight.size(1), bf16,
                           packed.mutable_data_ptr());
  return packed;
}

void pointwise(Tensor x, Tensor packed, Tensor bias, double slope, bool blur, Tensor out) {
  const int64_t by = blur ? 2 : 1;
  check(x, "x", ScalarType::Float, 4);
  check(out, "out", ScalarType::Float, 4);
  check_shape(x, "x", true, out.size(0), out.size(1) * by, out.size(2) * by, x.size(3));
  const bool bf16 = packed.scalar_type() == ScalarType::BFloat16;
  STD_TORCH_CHECK(
      packed.is_cpu() && packed.is_contiguous() && packed.dim() == 3 &&
          packed.size(0) == round_up(out.size(3), stylemap::kBlock) / stylemap::kBlock &&
          packed.size(1) * (bf16 ? 2 : 1) == round_up(x.size(3), stylemap::kChannels),
      "pointwise: packed must come from pointwise_pack and fit x and out");
  check(bias, "bias", ScalarType::Float, 1);
  STD_TORCH_CHECK(bias.size(0) == packed.size(0) * stylemap::kBlock,
                  "pointwise: bias must have one value per packed output channel");
  stylemap::pointwise({x.const_data_ptr<float>(), out.size(0), out.size(1), out.size(2), x.size(3),
                       out.size(3), blur, bf16, packed.const_data_ptr(),
                       bias.const_data_ptr<float>(), static_cast<float>(slope),
                       out.mutable_data_ptr<float>()});
}

void to_rgb(Tensor x, Tensor maps, Tensor mean, Tensor rstd, Tensor weight, double slope,
            Tensor image) {
  check(x, "x", ScalarType::Float, 4);
  check_shape(maps, "maps", true, x.size(0), x.size(1), x.size(2), x.size(3) + 3);
  check_shape(image, "image", true, x.size(0), 3, x.size(1), x.size(2));
  check_moments(mean, rstd, x.size(0), x.size(3));
  check(weight, "weight", ScalarType::Float, 2);
  STD_TORCH_CHECK(weight.size(0) == 3 && weight.size(1) == x.size(3),
                  "to_rgb: weight must be 3 x channels");
  stylemap::to_rgb(
      {x.const_data_ptr<float>(), maps.const_data_ptr<float>(), x.size(0), x.size(1) * x.size(2),
       x.size(3), mean.const_data_ptr<float>(), rstd.const_data_ptr<float>(), batch_stride(mean),
       weight.const_data_ptr<float>(), static_cast<float>(slope), image.mutable_data_ptr<float>()});
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(stylemap, m) {
  m.def("pointwise_pack(Tensor weight, bool bf16) -> Tensor");
  m.def(
      "pointwise(Tensor x, Tensor packed, Tensor bias, float slope, bool blur, Tensor(a!) out) -> "
      "()");
  m.def(
      "to_rgb(Tensor x, Tensor maps, Tensor mean, Tensor rstd, Tensor weight, float slope, "
      "Tensor(a!) image)"
      " -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(stylemap, CPU, m) {
  m.impl("pointwise_pack", TORCH_BOX(&pointwise_pack));
  m.impl("pointwise", TORCH_BOX(&pointwise));
  m.impl("to_rgb", TORCH_BOX(&to_rgb));
}
