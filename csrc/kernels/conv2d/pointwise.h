// 1 x 1 convolutions of the inference plan on CPUs, channels last.
#pragma once

#include <cstdint>

#include "kernels/conv2d/kernels.h"

namespace stylemap {

// [outputs][inputs], outputs a multiple of kBlock, inputs of kChannels -> [outputs /
// 32][inputs][32] float, or [outputs / 32][inputs / 2][32][2] bfloat16.
void pointwise_pack(const double* weight, int64_t outputs, int64_t inputs, bool bf16, void* packed);

// y = leaky_relu(conv1x1(x, W) + bias), or of x blurred and halved (kernels.h: PointwiseArgs).
struct PointwiseParams {
  const float* x;  // [batch][height * by][width * by][channels], by = 1, or 2 with `blur`
  int64_t batch, height, width, channels, out_channels;
  bool blur, bf16;
  const void* weights;
  const float* bias;
  float slope;
  float* out;  // [batch][height][width][out_channels]
};

void pointwise(const PointwiseParams& params);

// image = leaky_relu(sum_c W[o][c] * norm(x)_c * gamma_c + beta_o): the last convolution of the
// decoder, its beta convolution composed with its weights.
struct ToRgbParams {
  const float* x;     // [batch][pixels][channels]
  const float* maps;  // [batch][pixels][channels + 3]: gammas, then 3 betas
  int64_t batch, pixels, channels;
  const float* mean;  // [batch or 1][channels]
  const float* rstd;
  int64_t moments_batch;
  const float* weights;  // [3][channels]
  float slope;
  float* image;  // [batch][3][pixels]
};

void to_rgb(const ToRgbParams& params);

}  // namespace stylemap
