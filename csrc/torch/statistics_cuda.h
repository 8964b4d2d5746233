// Statistics of a result for the norm that follows it.
#pragma once

#include "kernels/modulate/modulate_cuda.h"
#include "torch/cuda.h"
#include "torch/modulate.h"

namespace stylemap {

struct Statistics {
  Tensor mean;
  Tensor rstd;
};

constexpr int64_t kNoStatistics = -1;

// mean and 1 / sqrt(variance + eps) of a dense x, in a pass of its own.
inline Statistics statistics_of(const OnDeviceOf& device, const Tensor& x, int64_t groups,
                                double eps) {
  if (groups == kNoStatistics) {
    return {new_tensor(x, {0}, compute_dtype(x)), new_tensor(x, {0}, compute_dtype(x))};
  }
  const NormShape shape = norm_shape(x, groups);
  const Statistics result{new_statistics(x, shape), new_statistics(x, shape)};
  const MomentsParams params{.shape = shape,
                             .x = data(x),
                             .mean = mutable_data(result.mean),
                             .spread = mutable_data(result.rstd),
                             .inverse = true,
                             .eps = eps};
  const Tensor partials = new_tensor(x, {moments_workspace(params)}, compute_dtype(x));
  check_launch(moments_cuda(params, mutable_data(partials), device.stream()), "moments");
  return result;
}

// The same from the partial moments that the pass that made x left: [batch, chunks] of three
// floats.
inline Statistics join_statistics(const OnDeviceOf& device, const Tensor& x, const Tensor& partials,
                                  double eps) {
  const Statistics result{new_tensor(x, {x.size(0), 1}, ScalarType::Float),
                          new_tensor(x, {x.size(0), 1}, ScalarType::Float)};
  check_launch(
      join_moments_cuda(static_cast<const Moments<float>*>(data(partials)), partials.size(0),
                        partials.size(1), eps, static_cast<float*>(mutable_data(result.mean)),
                        static_cast<float*>(mutable_data(result.rstd)), device.stream()),
      "join_moments");
  return result;
}

}  // namespace stylemap
