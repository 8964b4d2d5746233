// Convolutions of channels_last activations as products on tensor cores. Rows of the product are
// output pixels, columns output channels, and the depth runs over taps and input channels; the
// operands are gathered on the way to shared memory, so no matrix of patches is ever stored.
//
// Two epilogues: conv_act writes act(conv + bias), modulate_conv reads a feature map and writes
// norm(map) * gamma + beta, where gamma and beta are two convolutions of the stylecode that are
// computed side by side and never stored.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"
#include "kernels/common/moments.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {

// A transposed convolution of stride 2 is four small ones, each making every second pixel of every
// second line: phase (y % 2, x % 2) of the output needs 2 x 2, 2 x 1, 1 x 2 or 1 x 1 taps.
constexpr int kTransposedPhases = 4;

struct ImplicitGemm {
  DType dtype;         // float16 or bfloat16
  const void* x;       // [samples, height, width, in_channels], in_channels % 8 == 0
  const void* weight;  // [columns, size, size, in_channels]; x and weight are 16-byte aligned
  int samples;
  int height;
  int width;
  int in_channels;
  int columns;      // % 8 == 0
  int size;         // 1 or 3
  int stride;       // 1 or 2; transposed: 2
  int padding;      // transposed: 0
  bool transposed;  // size 3
  // 128: blocks of 128 x 128, or as wide as columns want; 64: of 64 x 64; 0: whichever fills the
  // device.
  int tile;
  // Rows to compute instead of all: indices into [samples, out_height, out_width], negative ones
  // are skipped. Null: all.
  const int32_t* rows;
  int64_t row_count;
  int parts;  // of the sum over taps and channels, each left to blocks of its own; 0: chosen
  // [implicit_gemm_workspace()], for parts, and for the taps of a transposed convolution that is
  // taken by them (conv_up.h); null: the sum is not split.
  float* sums;

  SM_HOST_DEVICE int phases() const { return transposed ? kTransposedPhases : 1; }
  // Of the whole output.
  SM_HOST_DEVICE int out_height() const { return out_size(height); }
  SM_HOST_DEVICE int out_width() const { return out_size(width); }
  // Of the pixels of a phase.
  SM_HOST_DEVICE int phase_height(int phase) const { return phase_size(height, phase / 2); }
  SM_HOST_DEVICE int phase_width(int phase) const { return phase_size(width, phase % 2); }

 private:
  SM_HOST_DEVICE int out_size(int length) const {
    return transposed ? 2 * length + 1 : (length + 2 * padding - size) / stride + 1;
  }
  SM_HOST_DEVICE int phase_size(int length, int odd) const {
    return transposed ? length + 1 - odd : out_size(length);
  }
};

// Tap t of a phase: pixel (y, x) of the phase takes input pixel (y * step + dy, x * step + dx),
// step being 1 in a transposed convolution, times element `index` of size * size.
struct Tap {
  int dy;
  int dx;
  int index;
};

SM_HOST_DEVICE int tap_count(const ImplicitGemm& g, int phase) {
  return g.transposed ? (2 - phase / 2) * (2 - phase % 2) : g.size * g.size;
}

SM_HOST_DEVICE Tap tap_of(const ImplicitGemm& g, int phase, int t) {
  // Sizes are few: no division by a number that is not a constant.
  if (!g.transposed) {
    const int i = g.size == 1 ? 0 : t / 3, j = g.size == 1 ? 0 : t % 3;
    return {i - g.padding, j - g.padding, t};
  }
  // Output 2 m + k takes input m times tap k: of an even one, taps 0 and 2 and inputs m and m - 1.
  const int odd_y = phase / 2, odd_x = phase % 2;
  const int i = odd_x ? t : t / 2, j = odd_x ? 0 : t % 2;
  return {-i, -j, (odd_y ? 1 : 2 * i) * 3 + (odd_x ? 1 : 2 * j)};
}

// y = leaky_relu(conv + bias) * gain, + skip if there is one.
struct ConvActParams {
  ImplicitGemm gemm;
  const void* bias;  // [columns], of gemm.dtype, or null
  // Null, or a map of the output's size, as the encoder's skips are, or of half its height and
  // width where skip_is_half: [samples, out_height / 2, out_width / 2, columns], upsampled by two
  // with the taps 1, 3, 3, 1 (of sum 4) along both axes, as the decoder's are. Not with a
  // transposed convolution.
  const void* skip;
  bool skip_is_half;
  void* y;  // [samples, out_height, out_width, columns]
  float negative_slope;
  float gain;
  // The moments of what each block wrote, for a layer norm of y: [samples, conv_act_chunks()]; or
  // null. Not with `rows` or a transposed convolution.
  Moments<float>* partials;
};

// y = (map - mean) * rstd * gamma + beta.
struct ModulateConvParams {
  ImplicitGemm gemm;        // of gamma: columns = channels; stride 1, same size
  const void* gamma_bias;   // [channels], of gemm.dtype
  const void* beta_weight;  // as gemm.weight
  const void* beta_bias;    // [channels]
  NormShape shape;          // of map
  const void* map;          // [samples, height, width, channels]
  const float* mean;        // [shape.statistics()]
  const float* rstd;
  void* y;  // as map
};

// The two samples of a skip that an upsampled one lies between: the nearer weighs three times as
// much.
struct SkipTaps {
  int near;
  int far;
};

SM_HOST_DEVICE SkipTaps skip_taps(int out) { return {out / 2, out / 2 + (out % 2 ? 1 : -1)}; }

// Whether sizes and alignment allow these kernels.
bool implicit_gemm_suits(const ImplicitGemm& gemm);
bool modulate_conv_suits(const ModulateConvParams& params);

// Floats that gemm.sums take; 0 where the sum is better not split. `columns` of the product:
// gemm.columns of conv_act, twice as many of modulate_conv.
int64_t implicit_gemm_workspace(const ImplicitGemm& gemm, int columns);

// Blocks that share a sample: partials per sample of conv_act. Depends on gemm.sums.
int64_t conv_act_chunks(const ImplicitGemm& gemm);

}  // namespace stylemap
