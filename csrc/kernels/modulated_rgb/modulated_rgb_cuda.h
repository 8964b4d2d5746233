// modulated_rgb: the decoder's last layer as one pass over its feature map.
//
// y[o] = leaky_relu(sum over c of weight[o][c] * xhat[c] * gamma[c] + beta[o] + bias[o]) * gain
//
// with xhat = (x - mean) * rstd. `beta` is the modulation's offset after the 1 x 1 convolution,
// which composes with the convolution that makes it: `colors` values per pixel instead of
// `channels`.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/modulate/modulate.h"

namespace stylemap {

constexpr int kMostColors = 4;

struct ModulatedRgbParams {
  NormShape shape;     // of x; channels_last
  const void* x;       // [batch, pixels, channels]
  const void* gamma;   // [batch * pixels, channels], rows gamma_stride elements apart
  const void* beta;    // [batch * pixels, colors], rows beta_stride elements apart
  const float* mean;   // [shape.statistics()]
  const float* rstd;   // as mean
  const void* weight;  // [colors, channels]
  const void* bias;    // [colors]
  void* y;             // [batch, colors, pixels]: planes
  int colors;          // <= kMostColors
  int64_t gamma_stride;
  int64_t beta_stride;
  float negative_slope;
  float gain;
};

// channels must be whole 16-byte packs, at most 512 bytes of packs of one warp: see the source.
bool modulated_rgb_suits(const ModulatedRgbParams& params);

cudaError_t modulated_rgb_cuda(const ModulatedRgbParams& params, cudaStream_t stream);

}  // namespace stylemap
