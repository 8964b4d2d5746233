// The convolutions on tensor cores: both tiles, split sums, transposed, listed rows, modulation.
#include "cases.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"

namespace driver {
namespace {

using stylemap::ConvActParams;
using stylemap::ImplicitGemm;

constexpr int kHeight = 9, kWidth = 6, kSamples = 2;
constexpr double kSlope = 0.2, kGain = 1.5;

struct Sizes {
  int inputs, outputs, tile = 0, parts = 1;
  bool transposed = false;

  // Whether sums are split, or those of a transposed convolution taken by its taps.
  bool in_sums() const { return parts > 1 || (transposed && outputs % 16 == 0); }
};

// Operands of a 3 x 3 convolution.
struct Operands {
  Sizes sizes;
  Half x, weight, bias;

  explicit Operands(const Sizes& s, unsigned seed = 31)
      : sizes(s),
        x(size_t(kSamples) * kHeight * kWidth * s.inputs),
        weight(size_t(s.outputs) * 9 * s.inputs),
        bias(s.outputs) {
    randomize(x, seed), randomize(bias, seed + 1);
    randomize(weight, seed + 2, std::pow(9 * s.inputs, -0.5));
  }
  ImplicitGemm gemm() const {
    return {.dtype = DType::kFloat16,
            .x = x.device(),
            .weight = weight.device(),
            .samples = kSamples,
            .height = kHeight,
            .width = kWidth,
            .in_channels = sizes.inputs,
            .columns = sizes.outputs,
            .size = 3,
            .stride = sizes.transposed ? 2 : 1,
            .padding = sizes.transposed ? 0 : 1,
            .transposed = sizes.transposed,
            .tile = sizes.tile,
            .rows = nullptr,
            .row_count = 0,
            .parts = sizes.parts,
            .sums = nullptr};
  }
  size_t outputs() const {
    const ImplicitGemm g = gemm();
    return size_t(g.samples) * g.out_height() * g.out_width() * g.columns;
  }
  // Element i of the result, before bias and activation.
  double operator()(size_t i) const {
    const ImplicitGemm g = gemm();
    const auto channel = static_cast<int>(i % g.columns);
    const auto column = static_cast<int>(i / g.columns % g.out_width());
    const auto row = static_cast<int>(i / g.columns / g.out_width() % g.out_height());
    const auto sample = static_cast<int>(i / g.columns / g.out_width() / g.out_height());
    double sum = 0;
    for (int t = 0; t < 9; ++t) {
      int y = row + t / 3 - 1, x0 = column + t % 3 - 1;
      if (g.transposed) {  // output 2 m + k takes input m times tap k
        y = row - t / 3, x0 = column - t % 3;
        if (y % 2 || x0 % 2) continue;
        y /= 2, x0 /= 2;
      }
      if (y < 0 || x0 < 0 || y >= g.height || x0 >= g.width) continue;
      const size_t from = ((size_t(sample) * g.height + y) * g.width + x0) * g.in_channels;
      const size_t with = (size_t(channel) * 9 + t) * g.in_channels;
      for (int c = 0; c < g.in_channels; ++c) sum += x[from + c] * weight[with + c];
    }
    return sum;
  }
  double activated(size_t i) const {
    return leaky((*this)(i) + bias[i % sizes.outputs], kSlope, kGain);
  }
};

// Memory for the parts of a sum; none where the kernels would not split it.
struct Sums {
  Float values;
  Sums(ImplicitGemm& g, int columns) : values(implicit_gemm_workspace(g, columns)) {
    g.sums = values.size() ? values.device() : nullptr;
    forget(values);
  }
};

ConvActParams conv_params(const Operands& o, const ImplicitGemm& gemm, const Half& y) {
  return {.gemm = gemm,
          .bias = o.bias.device(),
          .skip = nullptr,
          .skip_is_half = false,
          .y = y.device(),
          .negative_slope = static_cast<float>(kSlope),
          .gain = static_cast<float>(kGain),
          .partials = nullptr};
}

void conv_act(const char* name, const Sizes& sizes) {
  const Operands o(sizes);
  Half y(o.outputs());
  forget(y);
  ImplicitGemm gemm = o.gemm();
  const Sums sums(gemm, gemm.columns);
  if (sizes.in_sums() != (gemm.sums != nullptr)) return check(cudaErrorInvalidValue, name);
  report(name, conv_act_cuda(conv_params(o, gemm, y), nullptr), y,
         [&](size_t i) { return o.activated(i); });
}

// A list with padding, of two layers at once; other rows keep what they had.
void conv_rows_group() {
  const Operands first({40, 24}), second({200, 72}, 41);
  Half y(first.outputs()), z(second.outputs()), y_before(y.size()), z_before(z.size());
  randomize(y, 51), randomize(z, 52), randomize(y_before, 51), randomize(z_before, 52);
  constexpr int32_t kPixels = kSamples * kHeight * kWidth;
  Array<int32_t> rows(70);
  for (size_t i = 0; i < rows.size(); ++i)
    rows.host()[i] = i % 7 == 3 ? -1 : static_cast<int32_t>(i * 3 % kPixels);
  rows.upload();
  bool listed[kPixels] = {};
  for (const int32_t row : rows.host())
    if (row >= 0) listed[row] = true;
  ConvActParams params[2] = {conv_params(first, first.gemm(), y),
                             conv_params(second, second.gemm(), z)};
  for (ConvActParams& p : params)
    p.gemm.rows = rows.device(), p.gemm.row_count = static_cast<int64_t>(rows.size());
  Float sums(conv_rows_group_workspace(params, 2));
  forget(sums);
  const cudaError_t launched = conv_rows_group_cuda(params, 2, sums.device(), nullptr);
  report("conv_rows_group_cuda", launched, y, [&](size_t i) {
    return listed[i / first.sizes.outputs] ? first.activated(i) : y_before[i];
  });
  report("conv_rows_group_cuda: second", launched, z, [&](size_t i) {
    return listed[i / second.sizes.outputs] ? second.activated(i) : z_before[i];
  });
}

void modulate_conv(const char* name, const Sizes& sizes) {
  const Operands gamma(sizes), beta(sizes);
  Half map(gamma.outputs()), y(map.size());
  Half beta_weight(gamma.weight.size());
  randomize(map, 61), randomize(beta_weight, 62, std::pow(9 * sizes.inputs, -0.5)), forget(y);
  Operands second(sizes);
  second.weight.host() = beta_weight.host();
  Float mean(kSamples), rstd(kSamples);
  mean.host() = {0.25f, -0.5f}, rstd.host() = {1.5f, 0.75f};
  mean.upload(), rstd.upload();
  ImplicitGemm gemm = gamma.gemm();
  const Sums sums(gemm, 2 * gemm.columns);
  if ((sizes.parts > 1) != (gemm.sums != nullptr)) return check(cudaErrorInvalidValue, name);
  const stylemap::ModulateConvParams params{
      .gemm = gemm,
      .gamma_bias = gamma.bias.device(),
      .beta_weight = beta_weight.device(),
      .beta_bias = gamma.bias.device(),
      .shape = {DType::kFloat16, true, kSamples, sizes.outputs, kHeight * kWidth, 1},
      .map = map.device(),
      .mean = mean.device(),
      .rstd = rstd.device(),
      .y = y.device()};
  report(name, modulate_conv_cuda(params, nullptr), y, [&](size_t i) {
    const size_t sample = i / (size_t(kHeight) * kWidth * sizes.outputs);
    const double bias = gamma.bias[i % sizes.outputs];
    return (map[i] - mean[sample]) * rstd[sample] * (gamma(i) + bias) + second(i) + bias;
  });
}

}  // namespace

void convolutions() {
  conv_act("conv_act_cuda: tile 64", {40, 24, 64});
  conv_act("conv_act_cuda: tile 128", {40, 136, 128});
  conv_act("conv_act_cuda: in parts", {200, 72, 0, 4});
  conv_act("conv_act_cuda: transposed", {40, 24, 0, 1, true});
  conv_act("conv_act_cuda: transposed, by taps", {40, 32, 0, 1, true});
  conv_act("conv_act_cuda: transposed, by taps in parts", {200, 32, 0, 4, true});
  conv_rows_group();
  modulate_conv("modulate_conv_cuda: tile 64", {40, 24, 64});
  modulate_conv("modulate_conv_cuda: tile 128", {40, 136, 128});
  modulate_conv("modulate_conv_cuda: in parts", {200, 72, 0, 4});
}

}  // namespace driver
