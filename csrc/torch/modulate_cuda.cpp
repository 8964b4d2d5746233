#include "kernels/modulate/modulate_cuda.h"

#include <tuple>

#include "torch/cuda.h"
#include "torch/modulate.h"

namespace stylemap {
namespace {

Tensor workspace(const Tensor& x, int64_t size) { return new_tensor(x, {size}, compute_dtype(x)); }

// mean, and the variance or 1 / sqrt(variance + eps), of a dense x.
void compute_moments(const OnDeviceOf& device, const Tensor& x, const NormShape& shape,
                     const Tensor& mean, const Tensor& spread, bool inverse, double eps) {
  const MomentsParams params{.shape = shape,
                             .x = data(x),
                             .mean = mutable_data(mean),
                             .spread = mutable_data(spread),
                             .inverse = inverse,
                             .eps = eps};
  const Tensor partials = workspace(x, moments_workspace(params));
  check_launch(moments_cuda(params, mutable_data(partials), device.stream()), "moments");
}

std::tuple<Tensor, Tensor> moments(Tensor x, int64_t groups) {
  const OnDeviceOf device(x);
  x = dense(x);
  const NormShape shape = norm_shape(x, groups);
  Tensor mean = new_statistics(x, shape), variance = new_statistics(x, shape);
  compute_moments(device, x, shape, mean, variance, false, 0);
  return {mean, variance};
}

std::tuple<Tensor, Tensor, Tensor> modulate(Tensor x, Tensor gamma, Tensor beta, int64_t groups,
                                            double eps, std::optional<Tensor> given_mean,
                                            std::optional<Tensor> given_rstd) {
  const OnDeviceOf device(x);
  check_same_shape(gamma, x, "gamma");
  check_same_shape(beta, x, "beta");
  x = dense(x);
  const NormShape shape = norm_shape(x, groups);
  Tensor mean = new_statistics(x, shape), rstd = new_statistics(x, shape);
  STD_TORCH_CHECK(given_mean.has_value() == given_rstd.has_value(),
                  "mean and rstd must be given together");
  if (given_mean) {
    STD_TORCH_CHECK(groups == 0, "mean and rstd can only be given per channel");
    check_statistics(*given_mean, x, shape, "mean");
    check_statistics(*given_rstd, x, shape, "rstd");
    torch::stable::copy_(mean, *given_mean);
    torch::stable::copy_(rstd, *given_rstd);
  } else {
    compute_moments(device, x, shape, mean, rstd, true, eps);
  }
  Tensor y = new_like(x);
  const Layout layout = *layout_of(x);
  const Rows gamma_rows = rows(gamma, layout), beta_rows = rows(beta, layout);
  const auto params = modulate_params(shape, x, gamma_rows, beta_rows, mean, rstd, y);
  check_launch(modulate_cuda(params, device.stream()), "modulate");
  return {y, mean, rstd};
}

std::tuple<Tensor, Tensor> modulate_backward(Tensor grad, Tensor x, Tensor gamma, Tensor mean,
                                             Tensor rstd, int64_t groups, bool fixed_statistics) {
  const OnDeviceOf device(x);
  check_same_shape(grad, x, "grad");
  check_same_shape(gamma, x, "gamma");
  x = dense(x);
  const Layout layout = *layout_of(x);
  grad = dense(grad, layout);
  gamma = dense(gamma, layout);
  const NormShape shape = norm_shape(x, groups);
  check_statistics(mean, x, shape, "mean");
  check_statistics(rstd, x, shape, "rstd");
  Tensor dx = new_like(x), dgamma = new_like(x);
  const ModulateBackwardParams params{.shape = shape,
                                      .grad = data(grad),
                                      .x = data(x),
                                      .gamma = data(gamma),
                                      .mean = data(mean),
                                      .rstd = data(rstd),
                                      .dx = mutable_data(dx),
                                      .dgamma = mutable_data(dgamma),
                                      .fixed_statistics = fixed_statistics};
  const Tensor sums = workspace(x, modulate_backward_workspace(params));
  check_launch(modulate_backward_cuda(params, mutable_data(sums), device.stream()),
               "modulate_backward");
  return {dx, dgamma};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(stylemap, SM_CUDA_KEY, m) {
  m.impl("moments", TORCH_BOX(&moments));
  m.impl("modulate", TORCH_BOX(&modulate));
  m.impl("modulate_backward", TORCH_BOX(&modulate_backward));
}

}  // namespace stylemap
