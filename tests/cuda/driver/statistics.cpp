// moments, modulate and modulated_rgb: channels_last, statistics of a whole sample.
#include "cases.h"
#include "kernels/modulate/modulate_cuda.h"
#include "kernels/modulated_rgb/modulated_rgb_cuda.h"

namespace driver {
namespace {

constexpr int64_t kBatch = 2, kChannels = 40, kPixels = 54, kSample = kChannels * kPixels;
constexpr double kEps = 1e-5;
const stylemap::NormShape kShape{DType::kFloat16, true, kBatch, kChannels, kPixels, 1};

struct Statistics {
  double mean = 0, rstd = 0;
};

template <class At>
Statistics of(const At& at, int64_t sample, double eps) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < kSample; ++i) sum += at(sample * kSample + i);
  const double mean = sum / kSample;
  for (int64_t i = 0; i < kSample; ++i) squares += std::pow(at(sample * kSample + i) - mean, 2);
  return {mean, 1 / std::sqrt(squares / kSample + eps)};
}

struct Normalized {
  Half x{kBatch * kSample}, gamma{x.size()}, beta{x.size()};
  Float mean{kBatch}, rstd{kBatch};
  Statistics exact[kBatch];

  Normalized() {
    randomize(x, 11), randomize(gamma, 12), randomize(beta, 13);
    for (int64_t n = 0; n < kBatch; ++n) exact[n] = of([&](int64_t i) { return x[i]; }, n, kEps);
    forget(mean), forget(rstd);
  }
  double normal(size_t i) const {
    return (x[i] - exact[i / kSample].mean) * exact[i / kSample].rstd;
  }
};

void moments(Normalized& n) {
  const stylemap::MomentsParams params{.shape = kShape,
                                       .x = n.x.device(),
                                       .mean = n.mean.device(),
                                       .spread = n.rstd.device(),
                                       .inverse = true,
                                       .eps = kEps};
  Float workspace(moments_workspace(params));
  const cudaError_t launched = moments_cuda(params, workspace.device(), nullptr);
  report("moments_cuda", launched, n.mean, [&](size_t i) { return n.exact[i].mean; });
  report("moments_cuda: spread", launched, n.rstd, [&](size_t i) { return n.exact[i].rstd; });
}

// Partials as kernels leave them, here those of every pixel.
void join_moments(Normalized& n) {
  Array<float> partials(kBatch * kPixels * 3);
  for (int64_t p = 0; p < kBatch * kPixels; ++p) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < kChannels; ++c) sum += n.x[p * kChannels + c];
    for (int64_t c = 0; c < kChannels; ++c)
      squares += std::pow(n.x[p * kChannels + c] - sum / kChannels, 2);
    float* to = partials.host().data() + 3 * p;
    to[0] = kChannels, to[1] = static_cast<float>(sum / kChannels),
    to[2] = static_cast<float>(squares);
  }
  partials.upload(), forget(n.mean), forget(n.rstd);
  const auto* from = reinterpret_cast<const stylemap::Moments<float>*>(partials.device());
  const cudaError_t launched = stylemap::join_moments_cuda(
      from, kBatch, kPixels, kEps, n.mean.device(), n.rstd.device(), nullptr);
  report("join_moments_cuda", launched, n.mean, [&](size_t i) { return n.exact[i].mean; });
  report("join_moments_cuda: rstd", launched, n.rstd, [&](size_t i) { return n.exact[i].rstd; });
}

void modulate(Normalized& n) {
  Half y(n.x.size());
  forget(y);
  const stylemap::ModulateParams params{.shape = kShape,
                                        .x = n.x.device(),
                                        .gamma = n.gamma.device(),
                                        .beta = n.beta.device(),
                                        .mean = n.mean.device(),
                                        .rstd = n.rstd.device(),
                                        .y = y.device(),
                                        .gamma_stride = kChannels,
                                        .beta_stride = kChannels};
  report("modulate_cuda", modulate_cuda(params, nullptr), y,
         [&](size_t i) { return n.normal(i) * n.gamma[i] + n.beta[i]; });
}

void modulate_backward(Normalized& n) {
  Half grad(n.x.size()), dx(grad.size()), dgamma(grad.size());
  randomize(grad, 14), forget(dx), forget(dgamma);
  const stylemap::ModulateBackwardParams params{.shape = kShape,
                                                .grad = grad.device(),
                                                .x = n.x.device(),
                                                .gamma = n.gamma.device(),
                                                .mean = n.mean.device(),
                                                .rstd = n.rstd.device(),
                                                .dx = dx.device(),
                                                .dgamma = dgamma.device(),
                                                .fixed_statistics = false};
  Float workspace(modulate_backward_workspace(params));
  const cudaError_t launched = modulate_backward_cuda(params, workspace.device(), nullptr);
  double means[kBatch][2] = {};
  for (size_t i = 0; i < grad.size(); ++i) {
    const double u = grad[i] * n.gamma[i];
    means[i / kSample][0] += u / kSample;
    means[i / kSample][1] += u * n.normal(i) / kSample;
  }
  report("modulate_backward_cuda", launched, dx, [&](size_t i) {
    const auto& mean = means[i / kSample];
    return n.exact[i / kSample].rstd * (grad[i] * n.gamma[i] - mean[0] - n.normal(i) * mean[1]);
  });
  report("modulate_backward_cuda: gamma", launched, dgamma,
         [&](size_t i) { return grad[i] * n.normal(i); });
}

void modulated_rgb(Normalized& n) {
  constexpr int kColors = 3, kBetas = 8;
  constexpr double kSlope = 0.2;
  Half beta(kBatch * kPixels * kBetas), weight(kColors * kChannels), bias(kColors);
  Half y(kBatch * kColors * kPixels);
  randomize(beta, 15), randomize(weight, 16, 0.2), randomize(bias, 17), forget(y);
  const stylemap::ModulatedRgbParams params{.shape = kShape,
                                            .x = n.x.device(),
                                            .gamma = n.gamma.device(),
                                            .beta = beta.device(),
                                            .mean = n.mean.device(),
                                            .rstd = n.rstd.device(),
                                            .weight = weight.device(),
                                            .bias = bias.device(),
                                            .y = y.device(),
                                            .colors = kColors,
                                            .gamma_stride = kChannels,
                                            .beta_stride = kBetas,
                                            .negative_slope = kSlope,
                                            .gain = 1};
  report("modulated_rgb_cuda", modulated_rgb_cuda(params, nullptr), y, [&](size_t i) {
    const size_t sample = i / (kColors * kPixels), color = i / kPixels % kColors;
    const size_t pixel = sample * kPixels + i % kPixels;
    double sum = beta[pixel * kBetas + color] + bias[color];
    for (int64_t c = 0; c < kChannels; ++c) {
      const size_t at = pixel * kChannels + c;
      sum += weight[color * kChannels + c] * n.normal(at) * n.gamma[at];
    }
    return leaky(sum, kSlope, 1);
  });
}

}  // namespace

void statistics() {
  Normalized n;
  moments(n);
  join_moments(n);
  modulate(n);
  modulate_backward(n);
  modulated_rgb(n);
}

}  // namespace driver
