// modulated_conv2d on a GPU. In half precision and channels_last, the tensor-core kernels, which
// never store gamma and beta; otherwise cuDNN's convolutions and our kernels for everything between
// them.
#include "torch/modulated_conv2d.h"

#include "kernels/bias_act/bias_act_cuda.h"
#include "torch/aten.h"
#include "torch/bias_act.h"
#include "torch/implicit_gemm.h"
#include "torch/passes_cuda.h"
#include "torch/statistics_cuda.h"

namespace stylemap {
namespace {

constexpr int64_t kAnyTile = 0;

struct Activation {
  const Tensor& bias;
  double negative_slope;
  double gain;
};

// A weight as the tensor-core kernels read it, where they take it and x.
std::optional<Tensor> for_tensor_cores(const Tensor& x, const Tensor& weight) {
  if (*layout_of(x) != Layout::kChannelsLast) return std::nullopt;
  const Tensor last = packed(weight, Layout::kChannelsLast);
  return suits_tensor_cores(x, last) ? std::optional(last) : std::nullopt;
}

// y = norm(x) * gamma + beta from the stylecode's convolutions, as one pass where it suits.
Tensor modulated(const OnDeviceOf& device, const Tensor& x, const Tensor& style,
                 const Tensor (&weights)[2], const Tensor (&biases)[2], int64_t groups,
                 const Statistics& statistics) {
  const Layout layout = *layout_of(x);
  if (layout == Layout::kChannelsLast) {
    const Tensor code = packed(style, layout);
    if (const auto gamma = for_tensor_cores(code, weights[0])) {
      return modulate_conv(x, code, *gamma, biases[0], weights[1], biases[1], statistics.mean,
                           statistics.rstd, groups, kAnyTile);
    }
  }
  Tensor gamma = dense(convolution(style, weights[0], biases[0], 1, 1, false), layout);
  const Rows scale = rows(gamma, layout);
  const Rows offset =
      rows(dense(convolution(style, weights[1], biases[1], 1, 1, false), layout), layout);
  // Written over gamma: an activation less to allocate.
  check_launch(modulate_cuda(modulate_params(norm_shape(x, groups), x, scale, offset,
                                             statistics.mean, statistics.rstd, gamma),
                             device.stream()),
               "modulated_conv2d");
  return gamma;
}

// The convolution with the activation, as one pass where it suits.
Tensor plain(const OnDeviceOf& device, const Tensor& x, const Tensor& weight,
             const Activation& activation) {
  const int64_t padding = weight.size(2) / 2;
  if (const auto last = for_tensor_cores(x, weight)) {
    return std::get<0>(conv_act(x, *last, activation.bias, std::nullopt, 1, padding,
                                activation.negative_slope, activation.gain, kNoStatistics, 0,
                                kAnyTile));
  }
  const Tensor y = dense(convolution(x, weight, std::nullopt, 1, padding, false), *layout_of(x));
  check_launch(bias_act_cuda(bias_act_params(y, activation.bias, y, activation.negative_slope,
                                             activation.gain),
                             device.stream()),
               "modulated_conv2d");
  return y;
}

// The transposed convolution, as one pass of four phases where it suits, and the blur.
Tensor widened(const Tensor& x, const Tensor& weight, const Tensor& filter,
               const Activation& activation) {
  const auto last = for_tensor_cores(x, weight);
  const Tensor wide =
      last ? transposed_conv(x, *last, kAnyTile)
           : dense(convolution(x, torch::stable::transpose(weight, 0, 1), std::nullopt, 2, 0, true),
                   *layout_of(x));
  return std::get<0>(blur_act(wide, filter, activation.bias, {1, 1, 1, 1},
                              activation.negative_slope, activation.gain, kNoStatistics, 0));
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
  const Tensor y = modulated(device, x, style, weights, biases, groups, statistics);
  const Activation activation{bias, negative_slope, gain};
  return filter ? widened(y, weight, *filter, activation) : plain(device, y, weight, activation);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) {
  m.impl("modulated_conv2d", TORCH_BOX(&modulated_conv2d));
}

}  // namespace stylemap
