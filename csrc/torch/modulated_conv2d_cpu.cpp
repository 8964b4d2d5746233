// modulated_conv2d on the CPU: PyTorch's convolutions, our kernels for everything between them.
#include "torch/modulated_conv2d.h"

#include "torch/aten.h"
#include "torch/bias_act.h"
#include "torch/modulate.h"
#include "torch/upfirdn2d.h"

namespace stylemap {
namespace {

// y = norm(x) * gamma + beta, written over gamma: an activation less to allocate.
Tensor modulate_in_place(const Tensor& x, Tensor gamma, const Tensor& beta, int64_t groups,
                         double eps, const std::optional<Tensor>& given_mean,
                         const std::optional<Tensor>& given_rstd) {
  const Layout layout = *layout_of(x);
  const NormShape shape = norm_shape(x, groups);
  STD_TORCH_CHECK(given_mean.has_value() == given_rstd.has_value() && (!given_mean || groups == 0),
                  "mean and rstd must be given together, per channel");
  Tensor mean = given_mean ? *given_mean : new_statistics(x, shape);
  Tensor rstd = given_rstd ? *given_rstd : new_statistics(x, shape);
  check_statistics(mean, x, shape, "mean");
  check_statistics(rstd, x, shape, "rstd");
  if (!given_mean)
    moments_cpu({.shape = shape,
                 .x = data(x),
                 .mean = mutable_data(mean),
                 .spread = mutable_data(rstd),
                 .inverse = true,
                 .eps = eps});
  gamma = dense(gamma, layout);
  const Rows scale = rows(gamma, layout), offset = rows(dense(beta, layout), layout);
  modulate_cpu(modulate_params(shape, x, scale, offset, mean, rstd, gamma));
  return gamma;
}

// The blur after a transposed convolution, with bias and activation in the same pass.
Tensor blur_act(const Tensor& x, const Tensor& filter, const Tensor& bias, Layout layout,
                double negative_slope, double gain) {
  const Tensor taps = in_dtype(filter, compute_dtype(x));
  Upfirdn2dParams p = upfirdn2d_params(x, taps, 1, 1, {1, 1, 1, 1}, false);
  p.channels_last = layout == Layout::kChannelsLast;
  Tensor y = new_tensor(x, {p.batch, p.channels, p.out_height, p.out_width}, layout);
  p.y = mutable_data(y);
  p.activate = true;
  p.bias = data(bias);
  p.negative_slope = negative_slope;
  p.gain = gain;
  upfirdn2d_cpu(p);
  return y;
}

Tensor modulated_conv2d(Tensor x, Tensor style, Tensor weight, Tensor bias, Tensor gamma_weight,
                        Tensor gamma_bias, Tensor beta_weight, Tensor beta_bias,
                        std::optional<Tensor> filter, int64_t groups, double eps,
                        std::optional<Tensor> mean, std::optional<Tensor> rstd,
                        double negative_slope, double gain) {
  check_modulated_conv2d(x, style, weight, bias, gamma_weight, gamma_bias, beta_weight, beta_bias,
                         filter.has_value());
  x = dense(x);
  const Layout layout = *layout_of(x);
  style = dense(style, layout);
  bias = torch::stable::contiguous(bias);
  const Tensor gamma = convolution(style, gamma_weight, gamma_bias, 1, 1, false);
  const Tensor beta = convolution(style, beta_weight, beta_bias, 1, 1, false);
  const Tensor y = modulate_in_place(x, gamma, beta, groups, eps, mean, rstd);
  if (filter) {
    const Tensor wide =
        convolution(y, torch::stable::transpose(weight, 0, 1), std::nullopt, 2, 0, true);
    return blur_act(dense(wide, layout), *filter, bias, layout, negative_slope, gain);
  }
  const Tensor out = dense(convolution(y, weight, bias, 1, weight.size(2) / 2, false), layout);
  bias_act_cpu(bias_act_params(out, std::nullopt, out, negative_slope, gain));
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, CPU, m) {
  m.impl("modulated_conv2d", TORCH_BOX(&modulated_conv2d));
}

}  // namespace stylemap
