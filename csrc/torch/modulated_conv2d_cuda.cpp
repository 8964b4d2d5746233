// modulated_conv2d on a GPU. In half precision and channels_last, the tensor-core kernels, which
// never store gamma and beta; otherwise cuDNN's convolutions and our kernels for everything between
// them.
#include "torch/modulated_conv2d.h"

#include "kernels/bias_act/bias_act_cuda.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"
#include "kernels/upfirdn2d/upfirdn2d_cuda.h"
#include "torch/aten.h"
#include "torch/bias_act.h"
#include "torch/implicit_gemm.h"
#include "torch/statistics_cuda.h"
#include "torch/upfirdn2d.h"

namespace stylemap {
namespace {

struct Activation {
  const Tensor& bias;
  double negative_slope;
  double gain;
};

// y = norm(x) * gamma + beta from the stylecode's convolutions, as one kernel where it suits.
Tensor modulated(const OnDeviceOf& device, const Tensor& x, const Tensor& style,
                 const Tensor (&weights)[2], const Tensor (&biases)[2], const NormShape& shape,
                 const Statistics& statistics) {
  const Layout layout = *layout_of(x);
  if (layout == Layout::kChannelsLast) {
    const Tensor gamma = packed(weights[0], layout), beta = packed(weights[1], layout);
    const Tensor code = packed(style, layout), map = packed(x, layout);
    ImplicitGemm g = implicit_gemm(code, gamma, 1, 1, false);
    if (implicit_gemm_suits(g)) {
      Tensor y = new_like(map);
      const std::optional<Tensor> sums = new_sums(g, 2 * g.columns, x);
      const ModulateConvParams params{.gemm = g,
                                      .gamma_bias = data(biases[0]),
                                      .beta_weight = data(beta),
                                      .beta_bias = data(biases[1]),
                                      .shape = shape,
                                      .map = data(map),
                                      .mean = static_cast<const float*>(data(statistics.mean)),
                                      .rstd = static_cast<const float*>(data(statistics.rstd)),
                                      .y = mutable_data(y)};
      check_launch(modulate_conv_cuda(params, device.stream()), "modulated_conv2d");
      return y;
    }
  }
  Tensor gamma = dense(convolution(style, weights[0], biases[0], 1, 1, false), layout);
  const Rows scale = rows(gamma, layout);
  const Rows offset =
      rows(dense(convolution(style, weights[1], biases[1], 1, 1, false), layout), layout);
  // Written over gamma: an activation less to allocate.
  check_launch(modulate_cuda(modulate_params(shape, x, scale, offset, statistics.mean,
                                             statistics.rstd, gamma),
                             device.stream()),
               "modulated_conv2d");
  return gamma;
}

// The convolution with the activation, as one kernel where it suits.
Tensor plain(const OnDeviceOf& device, const Tensor& x, const Tensor& weight,
             const Activation& activation) {
  const Layout layout = *layout_of(x);
  const int64_t padding = weight.size(2) / 2;
  if (layout == Layout::kChannelsLast) {
    const Tensor last = packed(weight, layout);
    ImplicitGemm g = implicit_gemm(x, last, 1, padding, false);
    if (implicit_gemm_suits(g)) {
      Tensor y = new_tensor(x, {x.size(0), g.columns, g.out_height(), g.out_width()}, layout);
      const std::optional<Tensor> sums = new_sums(g, g.columns, x);
      const ConvActParams params{.gemm = g,
                                 .bias = data(activation.bias),
                                 .skip = nullptr,
                                 .y = mutable_data(y),
                                 .negative_slope = static_cast<float>(activation.negative_slope),
                                 .gain = static_cast<float>(activation.gain),
                                 .partials = nullptr};
      check_launch(conv_act_cuda(params, device.stream()), "modulated_conv2d");
      return y;
    }
  }
  const Tensor y = dense(convolution(x, weight, std::nullopt, 1, padding, false), layout);
  check_launch(bias_act_cuda(bias_act_params(y, activation.bias, y, activation.negative_slope,
                                             activation.gain),
                             device.stream()),
               "modulated_conv2d");
  return y;
}

// The transposed convolution, as one kernel of four phases where it suits.
Tensor widened(const OnDeviceOf& device, const Tensor& x, const Tensor& weight) {
  const Layout layout = *layout_of(x);
  if (layout == Layout::kChannelsLast) {
    const Tensor last = packed(weight, layout);
    ImplicitGemm g = implicit_gemm(x, last, 2, 0, true);
    if (implicit_gemm_suits(g)) {
      Tensor y = new_tensor(x, {x.size(0), g.columns, g.out_height(), g.out_width()}, layout);
      const std::optional<Tensor> sums = new_sums(g, g.columns, x);
      const ConvActParams params{.gemm = g,
                                 .bias = nullptr,
                                 .skip = nullptr,
                                 .y = mutable_data(y),
                                 .negative_slope = 1,
                                 .gain = 1,
                                 .partials = nullptr};
      check_launch(conv_act_cuda(params, device.stream()), "modulated_conv2d");
      return y;
    }
  }
  const Tensor y = convolution(x, torch::stable::transpose(weight, 0, 1), std::nullopt, 2, 0, true);
  return dense(y, layout);
}

Tensor blurred(const OnDeviceOf& device, const Tensor& x, const Tensor& filter, Layout layout,
               const Activation& activation) {
  const Tensor taps = in_dtype(filter, compute_dtype(x));
  Upfirdn2dParams p = upfirdn2d_params(x, taps, 1, 1, {1, 1, 1, 1}, false);
  p.channels_last = layout == Layout::kChannelsLast;
  Tensor y = new_tensor(x, {p.batch, p.channels, p.out_height, p.out_width}, layout);
  p.y = mutable_data(y);
  p.activate = true;
  p.bias = data(activation.bias);
  p.negative_slope = activation.negative_slope;
  p.gain = activation.gain;
  check_launch(upfirdn2d_cuda(p, device.stream()), "modulated_conv2d");
  return y;
}

Tensor modulated_conv2d(Tensor x, Tensor style, Tensor weight, Tensor bias, Tensor gamma_weight,
                        Tensor gamma_bias, Tensor beta_weight, Tensor beta_bias,
                        std::optional<Tensor> filter, int64_t groups, double eps,
                        std::optional<Tensor> mean, std::optional<Tensor> rstd,
                        double negative_slope, double gain) {
  const OnDeviceOf device(x);
  check_modulated_conv2d(x, style, weight, bias, gamma_weight, gamma_bias, beta_weight, beta_bias,
                         filter.has_value());
  x = dense(x);
  const Layout layout = *layout_of(x);
  style = dense(style, layout);
  bias = torch::stable::contiguous(bias);
  const NormShape shape = norm_shape(x, groups);
  STD_TORCH_CHECK(mean.has_value() == rstd.has_value() && (!mean || groups == 0),
                  "mean and rstd must be given together, per channel");
  if (mean) {
    check_statistics(*mean, x, shape, "mean");
    check_statistics(*rstd, x, shape, "rstd");
  }
  const Statistics statistics =
      mean ? Statistics{*mean, *rstd} : statistics_of(device, x, groups, eps);
  const Tensor weights[2] = {gamma_weight, beta_weight};
  const Tensor biases[2] = {torch::stable::contiguous(gamma_bias),
                            torch::stable::contiguous(beta_bias)};
  const Tensor y = modulated(device, x, style, weights, biases, shape, statistics);
  const Activation activation{bias, negative_slope, gain};
  if (!filter) return plain(device, y, weight, activation);
  return blurred(device, widened(device, y, weight), *filter, layout, activation);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) {
  m.impl("modulated_conv2d", TORCH_BOX(&modulated_conv2d));
}

}  // namespace stylemap
