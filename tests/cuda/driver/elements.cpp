// bias_act and blend, forward and backward.
#include "cases.h"
#include "kernels/bias_act/bias_act_cuda.h"
#include "kernels/blend/blend_cuda.h"

namespace driver {
namespace {

constexpr double kSlope = 0.2, kGain = 1.5;

void bias_act() {
  constexpr int64_t kOuter = 3, kChannels = 24, kInner = 35;
  Half x(kOuter * kChannels * kInner), bias(kChannels), y(x.size());
  randomize(x, 1), randomize(bias, 2), forget(y);
  const stylemap::BiasActParams params{.dtype = DType::kFloat16,
                                       .x = x.device(),
                                       .bias = bias.device(),
                                       .y = y.device(),
                                       .outer = kOuter,
                                       .channels = kChannels,
                                       .inner = kInner,
                                       .negative_slope = kSlope,
                                       .gain = kGain};
  report("bias_act_cuda", bias_act_cuda(params, nullptr), y,
         [&](size_t i) { return leaky(x[i] + bias[i / kInner % kChannels], kSlope, kGain); });
  Half grad(y.size()), dx(y.size());
  randomize(grad, 3), forget(dx);
  const stylemap::BiasActBackwardParams backward{.dtype = DType::kFloat16,
                                                 .grad = grad.device(),
                                                 .y = y.device(),
                                                 .dx = dx.device(),
                                                 .count = static_cast<int64_t>(y.size()),
                                                 .negative_slope = kSlope,
                                                 .gain = kGain};
  report("bias_act_backward_cuda", bias_act_backward_cuda(backward, nullptr), dx,
         [&](size_t i) { return grad[i] * kGain * (y[i] > 0 ? 1 : kSlope); });
}

// Samples of 8 x H x W, channels_last; mask and reference move by (dx, dy).
struct Blend {
  static constexpr int64_t kBatch = 2, kChannels = 8, kHeight = 7, kWidth = 9, kDx = 2, kDy = -1;
  static constexpr int64_t kPixels = kHeight * kWidth, kSample = kPixels * kChannels;
  static_assert(sizeof(bool) == 1);
  Array<uint8_t> mask{kPixels};
  Float weight{kBatch};

  Blend() {
    for (size_t i = 0; i < mask.size(); ++i) mask.host()[i] = i % 3 != 0;
    mask.upload();
    weight.host() = {0.25f, 1};
    weight.upload();
  }
  // Weight of the reference at element i, whose source is the element `source`; 0 outside.
  double share(int64_t i, int64_t dx, int64_t dy, int64_t& source) const {
    const int64_t pixel = i / kChannels % kPixels;
    const int64_t x = pixel % kWidth - dx, y = pixel / kWidth - dy;
    if (x < 0 || x >= kWidth || y < 0 || y >= kHeight) return 0;
    source = i / kSample * kSample + (y * kWidth + x) * kChannels + i % kChannels;
    return mask[y * kWidth + x] * weight[i / kSample];
  }
};

void blend() {
  Blend b;
  Half code(Blend::kBatch * Blend::kSample), reference(code.size()), y(code.size());
  randomize(code, 4), randomize(reference, 5), forget(y);
  const auto* mask = reinterpret_cast<const bool*>(b.mask.device());
  const stylemap::BlendParams params{.dtype = DType::kFloat16,
                                     .channels_last = true,
                                     .code = code.device(),
                                     .reference = reference.device(),
                                     .mask = mask,
                                     .weight = b.weight.device(),
                                     .y = y.device(),
                                     .batch = Blend::kBatch,
                                     .channels = Blend::kChannels,
                                     .height = Blend::kHeight,
                                     .width = Blend::kWidth,
                                     .code_stride = Blend::kSample,
                                     .reference_stride = Blend::kSample,
                                     .mask_stride = 0,
                                     .weight_stride = 1,
                                     .dx = Blend::kDx,
                                     .dy = Blend::kDy};
  report("blend_cuda", blend_cuda(params, nullptr), y, [&](size_t i) {
    int64_t source = 0;
    const double share = b.share(i, Blend::kDx, Blend::kDy, source);
    return code[i] + share * (reference[source] - code[i]);
  });
  Half grad(y.size()), dcode(y.size()), dreference(y.size());
  randomize(grad, 6), forget(dcode), forget(dreference);
  const stylemap::BlendBackwardParams backward{.dtype = DType::kFloat16,
                                               .channels_last = true,
                                               .grad = grad.device(),
                                               .mask = mask,
                                               .weight = b.weight.device(),
                                               .dcode = dcode.device(),
                                               .dreference = dreference.device(),
                                               .batch = Blend::kBatch,
                                               .channels = Blend::kChannels,
                                               .height = Blend::kHeight,
                                               .width = Blend::kWidth,
                                               .mask_stride = 0,
                                               .weight_stride = 1,
                                               .dx = Blend::kDx,
                                               .dy = Blend::kDy};
  const cudaError_t launched = blend_backward_cuda(backward, nullptr);
  report("blend_backward_cuda", launched, dcode, [&](size_t i) {
    int64_t source = 0;
    return grad[i] * (1 - b.share(i, Blend::kDx, Blend::kDy, source));
  });
  // What element i of the reference gets comes from where it went.
  report("blend_backward_cuda: reference", launched, dreference, [&](size_t i) {
    int64_t target = 0, source = 0;
    const int64_t pixel = i / Blend::kChannels % Blend::kPixels;
    const int64_t x = pixel % Blend::kWidth + Blend::kDx, y = pixel / Blend::kWidth + Blend::kDy;
    if (x < 0 || x >= Blend::kWidth || y < 0 || y >= Blend::kHeight) return 0.0;
    target = i / Blend::kSample * Blend::kSample + (y * Blend::kWidth + x) * Blend::kChannels +
             i % Blend::kChannels;
    return grad[target] * b.share(target, Blend::kDx, Blend::kDy, source);
  });
}

}  // namespace

void elements() {
  bias_act();
  blend();
}

}  // namespace driver
