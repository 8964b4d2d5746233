#include "torch/passes_cuda.h"

#include "kernels/implicit_gemm/implicit_gemm_cuda.h"
#include "kernels/modulated_rgb/modulated_rgb_cuda.h"
#include "kernels/upfirdn2d/upfirdn2d_cuda.h"
#include "torch/implicit_gemm.h"
#include "torch/statistics_cuda.h"
#include "torch/upfirdn2d.h"

namespace stylemap {
namespace {

constexpr Layout kLast = Layout::kChannelsLast;

// Partial moments of `chunks` blocks per sample of x, three floats each.
Tensor new_partials(const Tensor& x, int64_t chunks) {
  return new_tensor(x, {x.size(0), chunks, 3}, ScalarType::Float);
}

WithStatistics with_statistics(const OnDeviceOf& device, const Tensor& y,
                               const std::optional<Tensor>& partials, int64_t groups, double eps) {
  const Statistics s =
      partials ? join_statistics(device, y, *partials, eps) : statistics_of(device, y, groups, eps);
  return {y, s.mean, s.rstd};
}

void check_channels(const std::optional<Tensor>& bias, const Tensor& like, int64_t channels) {
  if (!bias) return;
  check_same_kind(*bias, like, "bias");
  STD_TORCH_CHECK(bias->dim() == 1 && bias->size(0) == channels && bias->is_contiguous(),
                  "bias must be contiguous with one value per output channel");
}

}  // namespace

WithStatistics conv_act(Tensor x, Tensor weight, std::optional<Tensor> bias,
                        std::optional<Tensor> skip, int64_t stride, int64_t padding,
                        double negative_slope, double gain, int64_t groups, double eps,
                        int64_t tile) {
  const OnDeviceOf device(x);
  x = packed(x, kLast);
  weight = packed(weight, kLast);
  ImplicitGemm g = implicit_gemm(x, weight, stride, padding, false, tile);
  check_suits(g);
  check_channels(bias, x, g.columns);
  const std::vector<int64_t> shape{x.size(0), g.columns, g.out_height(), g.out_width()};
  const bool skip_is_half = skip && shape_of(*skip) != shape;
  if (skip) {
    check_same_kind(*skip, x, "skip");
    STD_TORCH_CHECK(
        !skip_is_half || (shape_of(*skip) == (std::vector<int64_t>{shape[0], shape[1], shape[2] / 2,
                                                                   shape[3] / 2}) &&
                          shape[2] % 2 == 0 && shape[3] % 2 == 0),
        "skip must have the size of the result, or half its height and width");
    skip = packed(*skip, kLast);
  }
  Tensor y = new_tensor(x, shape, kLast);
  const std::optional<Tensor> sums = new_sums(g, g.columns, x);
  std::optional<Tensor> partials;
  if (groups == 1) partials = new_partials(x, conv_act_chunks(g));
  const ConvActParams params{
      .gemm = g,
      .bias = bias ? data(*bias) : nullptr,
      .skip = skip ? data(*skip) : nullptr,
      .skip_is_half = skip_is_half,
      .y = mutable_data(y),
      .negative_slope = static_cast<float>(negative_slope),
      .gain = static_cast<float>(gain),
      .partials = partials ? static_cast<Moments<float>*>(mutable_data(*partials)) : nullptr};
  check_launch(conv_act_cuda(params, device.stream()), "conv_act");
  return with_statistics(device, y, partials, groups, eps);
}

Tensor transposed_conv(Tensor x, Tensor weight, int64_t tile) {
  const OnDeviceOf device(x);
  x = packed(x, kLast);
  weight = packed(weight, kLast);
  ImplicitGemm g = implicit_gemm(x, weight, 2, 0, true, tile);
  check_suits(g);
  STD_TORCH_CHECK(g.size == 3, "weight must be 3 x 3");
  Tensor y = new_tensor(x, {x.size(0), g.columns, g.out_height(), g.out_width()}, kLast);
  const std::optional<Tensor> sums = new_sums(g, g.columns, x);
  const ConvActParams params{.gemm = g,
                             .bias = nullptr,
                             .skip = nullptr,
                             .skip_is_half = false,
                             .y = mutable_data(y),
                             .negative_slope = 1,
                             .gain = 1,
                             .partials = nullptr};
  check_launch(conv_act_cuda(params, device.stream()), "transposed_conv");
  return y;
}

namespace {

// The convolution of a list of rows; x and weight are packed.
ConvActParams rows_params(const Tensor& y, const Tensor& x, const Tensor& weight,
                          const std::optional<Tensor>& bias, const Tensor& rows) {
  ImplicitGemm g = implicit_gemm(x, weight, 1, weight.size(2) / 2, false);
  check_suits(g);
  check_channels(bias, x, g.columns);
  check_same_kind(y, x, "y");
  STD_TORCH_CHECK(
      shape_of(y) == (std::vector<int64_t>{x.size(0), g.columns, x.size(2), x.size(3)}) &&
          layout_of(y) == layout_of(dense(y, kLast)) && aligned_to_pack(data(y)),
      "y must be the channels_last result of the convolution, 16-byte aligned");
  STD_TORCH_CHECK(rows.dim() == 1 && rows.is_contiguous() && rows.device() == x.device() &&
                      rows.scalar_type() == ScalarType::Int,
                  "rows must be a contiguous int32 tensor on the device of x");
  g.rows = static_cast<const int32_t*>(data(rows));
  g.row_count = rows.numel();
  return {.gemm = g,
          .bias = bias ? data(*bias) : nullptr,
          .skip = nullptr,
          .skip_is_half = false,
          .y = const_cast<void*>(data(y)),
          .negative_slope = 1,
          .gain = 1,
          .partials = nullptr};
}

void conv_rows(Tensor y, Tensor x, Tensor weight, std::optional<Tensor> bias, Tensor rows) {
  if (rows.numel() == 0) return;  // no address then, which would stand for all rows
  const OnDeviceOf device(x);
  x = packed(x, kLast);
  weight = packed(weight, kLast);
  ConvActParams params = rows_params(y, x, weight, bias, rows);
  const std::optional<Tensor> sums = new_sums(params.gemm, params.gemm.columns, x);
  check_launch(conv_act_cuda(params, device.stream()), "conv_rows_");
}

void conv_rows_group(std::vector<Tensor> y, std::vector<Tensor> x, std::vector<Tensor> weight,
                     std::vector<Tensor> bias, std::vector<Tensor> rows) {
  STD_TORCH_CHECK(y.size() == x.size() && weight.size() == x.size() && rows.size() == x.size() &&
                      (bias.empty() || bias.size() == x.size()),
                  "conv_rows_group_ takes as many of each operand");
  if (x.empty()) return;
  const OnDeviceOf device(x[0]);
  std::vector<ConvActParams> params;
  for (size_t i = 0; i < x.size(); ++i) {
    if (rows[i].numel() == 0) continue;
    x[i] = packed(x[i], kLast);
    weight[i] = packed(weight[i], kLast);
    STD_TORCH_CHECK(x[i].device() == x[0].device() && x[i].scalar_type() == x[0].scalar_type(),
                    "all x must have one dtype and lie on one device");
    const auto of = bias.empty() ? std::nullopt : std::optional<Tensor>(bias[i]);
    params.push_back(rows_params(y[i], x[i], weight[i], of, rows[i]));
  }
  if (params.empty()) return;
  const auto count = static_cast<int>(params.size());
  const Tensor sums =
      new_tensor(x[0], {conv_rows_group_workspace(params.data(), count)}, ScalarType::Float);
  check_launch(
      conv_rows_group_cuda(params.data(), count, static_cast<float*>(const_cast<void*>(data(sums))),
                           device.stream()),
      "conv_rows_group_");
}

// mean and rstd of whole samples from [batch, chunks, 3] partial moments: count, mean, M2.
std::tuple<Tensor, Tensor> join_moments(Tensor partials, double eps) {
  const OnDeviceOf device(partials);
  STD_TORCH_CHECK(partials.dim() == 3 && partials.size(2) == 3 && partials.is_contiguous() &&
                      partials.scalar_type() == ScalarType::Float,
                  "partials must be contiguous, float32 and batch x chunks x 3");
  const Statistics s = join_statistics(device, partials, partials, eps);
  return {s.mean, s.rstd};
}

void check_given_statistics(const Tensor& mean, const Tensor& rstd, const Tensor& x,
                            const NormShape& shape) {
  check_statistics(mean, x, shape, "mean");
  check_statistics(rstd, x, shape, "rstd");
}

}  // namespace

Tensor modulate_conv(Tensor x, Tensor style, Tensor gamma_weight, Tensor gamma_bias,
                     Tensor beta_weight, Tensor beta_bias, Tensor mean, Tensor rstd, int64_t groups,
                     int64_t tile) {
  const OnDeviceOf device(x);
  x = packed(x, kLast);
  style = packed(style, kLast);
  gamma_weight = packed(gamma_weight, kLast);
  beta_weight = packed(beta_weight, kLast);
  check_same_kind(style, x, "style");
  check_same_shape(beta_weight, gamma_weight, "beta_weight");
  NormShape shape = norm_shape(x, groups);
  shape.channels_last = true;
  check_given_statistics(mean, rstd, x, shape);
  ImplicitGemm g = implicit_gemm(style, gamma_weight, 1, gamma_weight.size(2) / 2, false, tile);
  check_suits(g);
  STD_TORCH_CHECK(
      shape_of(x) == (std::vector<int64_t>{style.size(0), g.columns, style.size(2), style.size(3)}),
      "x must have the batch and size of style and the channels of gamma_weight");
  check_channels(gamma_bias, x, g.columns);
  check_channels(beta_bias, x, g.columns);
  Tensor y = new_tensor(x, shape_of(x), kLast);
  const std::optional<Tensor> sums = new_sums(g, 2 * g.columns, x);
  const ModulateConvParams params{.gemm = g,
                                  .gamma_bias = data(gamma_bias),
                                  .beta_weight = data(beta_weight),
                                  .beta_bias = data(beta_bias),
                                  .shape = shape,
                                  .map = data(x),
                                  .mean = static_cast<const float*>(data(mean)),
                                  .rstd = static_cast<const float*>(data(rstd)),
                                  .y = mutable_data(y)};
  check_launch(modulate_conv_cuda(params, device.stream()), "modulate_conv");
  return y;
}

namespace {

Tensor apply_modulation(Tensor x, Tensor gamma, Tensor beta, Tensor mean, Tensor rstd,
                        int64_t groups) {
  const OnDeviceOf device(x);
  check_same_shape(gamma, x, "gamma");
  check_same_shape(beta, x, "beta");
  x = dense(x);
  const NormShape shape = norm_shape(x, groups);
  check_given_statistics(mean, rstd, x, shape);
  Tensor y = new_like(x);
  const Rows gamma_rows = rows(gamma, *layout_of(x)), beta_rows = rows(beta, *layout_of(x));
  const auto params = modulate_params(shape, x, gamma_rows, beta_rows, mean, rstd, y);
  check_launch(modulate_cuda(params, device.stream()), "apply_modulation");
  return y;
}

}  // namespace

WithStatistics blur_act(Tensor x, Tensor filter, std::optional<Tensor> bias,
                        std::vector<int64_t> padding, double negative_slope, double gain,
                        int64_t groups, double eps) {
  const OnDeviceOf device(x);
  x = dense(x);
  filter = in_dtype(filter, compute_dtype(x));
  Upfirdn2dParams p = upfirdn2d_params(x, filter, 1, 1, padding, false);
  check_channels(bias, x, p.channels);
  Tensor y = new_tensor(x, {p.batch, p.channels, p.out_height, p.out_width}, *layout_of(x));
  p.y = mutable_data(y);
  p.activate = true;
  p.bias = bias ? data(*bias) : nullptr;
  p.negative_slope = negative_slope;
  p.gain = gain;
  std::optional<Tensor> partials;
  if (upfirdn2d_fuses(p)) {
    if (groups == 1) partials = new_partials(x, upfirdn2d_chunks(p));
    Upfirdn2dFusion fusion{};
    if (partials) fusion.partials = static_cast<Moments<float>*>(mutable_data(*partials));
    check_launch(upfirdn2d_fused_cuda(p, fusion, device.stream()), "blur_act");
  } else {
    check_launch(upfirdn2d_cuda(p, device.stream()), "blur_act");
  }
  return with_statistics(device, y, partials, groups, eps);
}

namespace {

WithStatistics skip_add(Tensor x, Tensor skip, Tensor filter, double gain, int64_t groups,
                        double eps) {
  const OnDeviceOf device(x);
  x = dense(x, kLast);
  skip = dense(skip, kLast);
  check_same_kind(skip, x, "skip");
  filter = in_dtype(filter, compute_dtype(x));
  Upfirdn2dParams p = upfirdn2d_params(skip, filter, 2, 1, {2, 1, 2, 1}, false);
  p.channels_last = true;
  STD_TORCH_CHECK(
      shape_of(x) == (std::vector<int64_t>{p.batch, p.channels, p.out_height, p.out_width}),
      "skip must have half the height and width of x");
  Tensor y = new_tensor(x, shape_of(x), kLast);
  p.y = mutable_data(y);
  STD_TORCH_CHECK(upfirdn2d_fuses(p),
                  "skip_add takes float32, float16 or bfloat16, whole 16-byte "
                  "packs of channels and a 4 x 4 filter");
  std::optional<Tensor> partials;
  if (groups == 1) partials = new_partials(x, upfirdn2d_chunks(p));
  const Upfirdn2dFusion fusion{
      .residual = data(x),
      .residual_gain = gain,
      .partials = partials ? static_cast<Moments<float>*>(mutable_data(*partials)) : nullptr};
  check_launch(upfirdn2d_fused_cuda(p, fusion, device.stream()), "skip_add");
  return with_statistics(device, y, partials, groups, eps);
}

Tensor modulated_rgb(Tensor x, Tensor gamma, Tensor beta, Tensor mean, Tensor rstd, int64_t groups,
                     Tensor weight, Tensor bias, double negative_slope, double gain) {
  const OnDeviceOf device(x);
  x = dense(x, kLast);
  check_same_shape(gamma, x, "gamma");
  for (const Tensor* t : {&beta, &weight, &bias}) check_same_kind(*t, x, "an operand");
  weight = torch::stable::contiguous(weight);
  NormShape shape = norm_shape(x, groups);
  shape.channels_last = true;
  check_given_statistics(mean, rstd, x, shape);
  const int64_t colors = weight.size(0);
  STD_TORCH_CHECK(weight.dim() == 2 && weight.size(1) == shape.channels,
                  "weight must be colors x C");
  check_channels(bias, x, colors);
  STD_TORCH_CHECK(shape_of(beta) == (std::vector<int64_t>{x.size(0), colors, x.size(2), x.size(3)}),
                  "beta must have the batch and size of x and a channel per color");
  const Rows gamma_rows = rows(gamma, kLast), beta_rows = rows(beta, kLast);
  Tensor y = new_tensor(x, shape_of(beta), Layout::kContiguous);
  const ModulatedRgbParams params{.shape = shape,
                                  .x = data(x),
                                  .gamma = data(gamma_rows.tensor),
                                  .beta = data(beta_rows.tensor),
                                  .mean = static_cast<const float*>(data(mean)),
                                  .rstd = static_cast<const float*>(data(rstd)),
                                  .weight = data(weight),
                                  .bias = data(bias),
                                  .y = mutable_data(y),
                                  .colors = static_cast<int>(colors),
                                  .gamma_stride = gamma_rows.stride,
                                  .beta_stride = beta_rows.stride,
                                  .negative_slope = static_cast<float>(negative_slope),
                                  .gain = static_cast<float>(gain)};
  STD_TORCH_CHECK(modulated_rgb_suits(params),
                  "modulated_rgb takes float32, float16 or bfloat16, at "
                  "most 4 colors and up to 512 channels in whole packs");
  check_launch(modulated_rgb_cuda(params, device.stream()), "modulated_rgb");
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) {
  m.impl("conv_act", TORCH_BOX(&conv_act));
  m.impl("transposed_conv", TORCH_BOX(&transposed_conv));
  m.impl("conv_rows_", TORCH_BOX(&conv_rows));
  m.impl("conv_rows_group_", TORCH_BOX(&conv_rows_group));
  m.impl("join_moments", TORCH_BOX(&join_moments));
  m.impl("modulate_conv", TORCH_BOX(&modulate_conv));
  m.impl("apply_modulation", TORCH_BOX(&apply_modulation));
  m.impl("blur_act", TORCH_BOX(&blur_act));
  m.impl("skip_add", TORCH_BOX(&skip_add));
  m.impl("modulated_rgb", TORCH_BOX(&modulated_rgb));
}

}  // namespace stylemap
