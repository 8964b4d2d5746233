// modulate: y = (x - mean) * rstd * gamma + beta, element by element, after one of four norms.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace stylemap {

// How x lies in memory and which elements share a mean and variance. "Dense" below is
// [batch, channels, pixels], or [batch, pixels, channels] if channels_last.
struct NormShape {
  DType dtype;
  bool channels_last;
  int64_t batch;
  int64_t channels;
  int64_t pixels;
  // Statistics per sample: 1 for LayerNorm, 8 for GroupNorm, channels for InstanceNorm2d.
  // 0 for BatchNorm2d: one per channel, over the whole batch.
  int64_t groups;

  // Statistics are [batch, groups], or [channels] where groups is 0.
  SM_HOST_DEVICE int64_t statistics() const { return groups == 0 ? channels : batch * groups; }
  SM_HOST_DEVICE int64_t statistic(int64_t sample, int64_t channel) const {
    return groups == 0 ? channel : sample * groups + channel / (channels / groups);
  }
  // Elements behind each statistic.
  SM_HOST_DEVICE int64_t count() const {
    return groups == 0 ? batch * pixels : channels / groups * pixels;
  }
};

// mean, and the biased variance or with `inverse` 1 / sqrt(variance + eps).
struct MomentsParams {
  NormShape shape;
  const void* x;  // dense
  void* mean;     // [statistics], float32 (float64 for float64 x)
  void* spread;   // as mean
  bool inverse;
  double eps;
};

struct ModulateParams {
  NormShape shape;
  const void* x;  // dense
  // As x, but with gamma_stride and beta_stride elements from a sample (channels_last: a pixel) to
  // the next: the two may be halves of one tensor of 2 * channels.
  const void* gamma;
  const void* beta;
  const void* mean;  // [statistics], float32 (float64 for float64 x)
  const void* rstd;  // as mean
  void* y;           // dense
  int64_t gamma_stride;
  int64_t beta_stride;
};

// With xhat = (x - mean) * rstd, u = grad * gamma and means over the elements of a statistic:
// dx = rstd * (u - mean(u) - xhat * mean(u * xhat)), dgamma = grad * xhat; dbeta is grad.
// With fixed statistics, which do not depend on x, dx = rstd * u.
struct ModulateBackwardParams {
  NormShape shape;
  const void* grad;   // dense
  const void* x;      // dense
  const void* gamma;  // dense
  const void* mean;   // [statistics], float32 (float64 for float64 x)
  const void* rstd;   // as mean
  void* dx;           // dense
  void* dgamma;       // dense
  bool fixed_statistics;
};

void moments_cpu(const MomentsParams& params);
void modulate_cpu(const ModulateParams& params);
void modulate_backward_cpu(const ModulateBackwardParams& params);

template <class C>
SM_HOST_DEVICE C modulate_element(C x, C gamma, C beta, C mean, C rstd) {
  return (x - mean) * rstd * gamma + beta;
}

// dx, with mean_u and mean_ux the means of u and u * xhat (zeros for fixed statistics).
template <class C>
SM_HOST_DEVICE C modulate_dx_element(C grad, C xhat, C gamma, C rstd, C mean_u, C mean_ux) {
  return rstd * (grad * gamma - mean_u - xhat * mean_ux);
}

}  // namespace stylemap
