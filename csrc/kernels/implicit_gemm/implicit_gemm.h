// Convolutions of channels_last activations as products on tensor cores. Rows of the product are
// output pixels, columns output channels, and the depth runs over taps and input channels; the
// operands are gathered on the way to shared memory, so no matrix of patches is ever stored.
//
// Two epilogues: conv_act writes act(conv + bias), modulate_conv reads a feature map and writes
// norm(map) * gamma + beta, where the convolution's channels are gamma and beta.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"
#include "kernels/common/moments.h"

namespace stylemap {

constexpr int kMaxTaps = 9;
// gamma and beta alternate in packs of this many channels: a pack of one and the same pack of the
// other meet in the same registers of the epilogue.
constexpr int kModulationPack = 8;

// Where a tap reads: pixel (y * stride + dy, x * stride + dx) for output (y, x), zero outside.
struct Tap {
  int dy;
  int dx;
};

struct ImplicitGemm {
  DType dtype;         // float16 or bfloat16
  const void* x;       // [samples, height, width, in_channels], in_channels % 8 == 0, 16-byte aligned
  const void* weight;  // [taps, columns, in_channels], 16-byte aligned
  const float* bias;   // [columns], or null
  int samples;
  int height;
  int width;
  int in_channels;
  int columns;  // % 8 == 0 (modulate_conv: % 16)
  int out_height;  // the rows of the product, per sample
  int out_width;
  int stride;
  int taps;
  Tap tap[kMaxTaps];
  // Rows to compute instead of all: indices into [samples, out_height, out_width], negative ones are
  // skipped. Null: all.
  const int32_t* rows;
  int64_t row_count;
};

// y[sample, y * step + offset_y, x * step + offset_x, :] = leaky_relu(conv + bias) * gain.
struct ConvActParams {
  ImplicitGemm gemm;
  void* y;  // [samples, y_height, y_width, columns]
  int y_height;
  int y_width;
  int step;
  int offset_y;
  int offset_x;
  float negative_slope;
  float gain;
  // The moments of what each block wrote, for a layer norm of y: [samples, conv_act_chunks()]; or
  // null. Not with `rows`.
  Moments<float>* partials;
};

// y = (map - mean) * rstd * gamma + beta with gamma, beta = conv + bias. Columns are 8 of gamma, the
// same 8 of beta, and so on.
struct ModulateConvParams {
  ImplicitGemm gemm;  // stride 1, columns = 2 * channels
  const void* map;    // [samples, out_height, out_width, channels]
  const float* mean;  // [samples * statistics], or [channels] if across_samples
  const float* rstd;
  int statistics;  // per sample: 1, groups or channels
  bool across_samples;
  void* y;  // as map
};

// Blocks that share a sample; partials per sample of conv_act.
int64_t conv_act_chunks(const ImplicitGemm& gemm);

}  // namespace stylemap
