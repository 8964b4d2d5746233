// The inner loops of the convolutions, compiled once per instruction set, and how one set is
// chosen.
//
// Everything the loops share is blocked by 32 output channels and by tiles of M x M outputs:
//   V  transformed inputs   [plane][tile][depth of the plane]  float, or bfloat16 in pairs
//   U  transformed weights  [block][row][K][32]                float, or pairs along K of bfloat16
//   P  products             [tile][product][32]                float, for one block
// with planes, rows and products as scheme.h says.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace stylemap {

constexpr int kBlock = 32;     // output channels computed together
constexpr int kChannels = 16;  // input channels are padded to a multiple of this
constexpr int kMaxPlanes = 64;
constexpr int kUnit = 4;  // consecutive tiles of a sample that share one partial of the statistics

// products[r][0..32) = sum_k inputs[r][k] * weights[k][0..32); k counts floats or pairs of
// bfloat16.
struct GemmArgs {
  const void* inputs;   // rows x depth, `input_stride` 32-bit words apart
  const void* weights;  // depth x 32
  float* products;      // rows x 32, `product_stride` floats apart
  int64_t input_stride;
  int64_t product_stride;
  int64_t depth;
  int64_t words;  // K as 32-bit words, of which depth is a multiple
  int rows;
};

// Taps of one block -> rows of U, for `count` rows of G along y (scheme.h).
struct WeightArgs {
  const void* taps;  // [inputs][9][32] float or float16
  int64_t inputs;
  int count;  // 1 or 2
  float g[2][3];
  uint32_t* u[2][8];  // where the weights (row of G, column of G) of all inputs go
};

// Where the pixels of one sample's tiles are. Tiles number row by row and have a side of M pixels
// of a height x width grid: the outputs, with kUp the inputs. `list`, if not null, picks tiles.
struct TileGrid {
  int height, width;
  int tiles_x;
  const int32_t* list;
};

// x of one sample -> V of tiles [first, first + count).
struct InputArgs {
  const float* x;  // [height][width][channels], with kDown [2 height][2 width][channels]
  int channels;
  TileGrid grid;
  // Optional: the input is (x - mean) * rstd * gamma + beta, gamma and beta in alternate runs
  // of 16.
  const float* modulation;  // [height][width][modulation_pixel = 2 * ceil16(channels)] or null
  int64_t modulation_pixel;
  const float* mean;  // [channels]
  const float* rstd;  // [channels]
  int first, count;
  // Tile first + i goes to v + plane[p] + (v_first + i) * depth, in 32-bit words; the depth of
  // plane p is `words` = ceil16(channels) as words, with kDown up to 4 times that.
  uint32_t* v;
  int v_first;
  int64_t words;
  int64_t plane[kMaxPlanes];
};

enum class Epilogue : int {
  kActivate = 0,  // leaky_relu(conv + bias) [+ residual]
  kModulate =
      1,  // (features - mean) * rstd * gamma + beta: the block holds 16 gammas, then 16 betas
};

enum class Residual : int { kNone = 0, kSame = 1, kUpsampled = 2 };

// P of tiles [first, first + count) of one sample, one block -> output pixels and statistics.
struct OutputArgs {
  const float* products;  // of tile `first`
  int64_t tile_stride;
  TileGrid grid;
  const float* bias;  // [32] of this block
  float slope;        // negative slope; 1: no activation
  Epilogue epilogue;
  int channels;  // of this block that exist: 1..32, or 1..16 with kModulate

  float* out;  // channel 0 of this block at output (0, 0)
  int64_t pixel;
  bool stream;  // write around the caches: every row of lanes is whole and aligned

  const float* features;  // kModulate: [height][width][channels], this block's channels, 1 sample
  int64_t feature_pixel;
  const float* mean;
  const float* rstd;

  Residual residual;
  const float* skip;  // kSame: as out; kUpsampled: [height / 2][width / 2], this block's channels
  int64_t skip_pixel;

  // Per unit of kUnit tiles: [channels] means, [channels] sums of squared deviations, or null.
  float* partial_mean;
  float* partial_m2;
  int64_t partial_stride;  // from unit to unit
  int first, count;
};

// P of one block, one sample -> the outputs of kUp: t, the blur, bias and leaky ReLU, statistics.
// Band b makes the image rows 4 b - 2 ... 4 b + 1 from tile rows b - 1 and b; there is one band
// more than there are tile rows.
struct UpOutputArgs {
  const float* products;  // of tile row `first_row`
  int first_row;
  int64_t tile_stride;
  int tiles_x, tiles_y;
  int height, width;  // of the image: twice the input's
  const float* bias;  // [32] of this block
  float slope;
  int channels;  // of this block that exist
  float* out;    // channel 0 of this block at pixel (0, 0)
  int64_t pixel;
  bool stream;
  float* partial_mean;  // per image row, or null
  float* partial_m2;
  int64_t partial_stride;
  int first, last;  // bands
  float* scratch;   // up_scratch(tiles_x) floats, 64-byte aligned
};

constexpr int64_t up_scratch(int64_t tiles_x) { return 8 * (4 * tiles_x + 3) * kChannels; }

// out[p][o] = leaky_relu(sum_i in[p][i] * W[o][i] + bias[o]) for pixels [first, first + count).
struct PointwiseArgs {
  const float* x;     // [height * by][width * by][channels] of the sample, by = 1, or 2 with `blur`
  int height, width;  // of out
  int channels;
  bool blur;  // in = x blurred by [1 3 3 1] / 8 along both axes, every second pixel, padding 1
  const void*
      weights;  // [block][ceil16(channels)][32] float, or [block][ceil16(channels) / 2][32][2]
  bool bf16;
  const float* bias;  // [blocks * 32]
  float slope;
  float* out;  // [height][width][out_channels]
  int out_channels;
  int first, count;  // count <= kPointwiseRows
  void* scratch;     // pointwise_scratch(channels) bytes
};

constexpr int kPointwiseRows = 56;

constexpr int64_t pointwise_scratch(int64_t channels) {
  return kPointwiseRows * (2 * (channels + kChannels) + kBlock) * int64_t{sizeof(float)};
}

// image[o][p] = leaky_relu(sum_c W[o][c] * (x - mean) * rstd * gamma + beta[o]), pixels [first,
// +count).
struct ToRgbArgs {
  const float* x;     // [pixels][channels] of the sample
  const float* maps;  // [pixels][channels gammas, 3 betas]
  int64_t pixels;
  int channels;
  const float* mean;     // [channels]
  const float* rstd;     // [channels]
  const float* weights;  // [3][channels]
  float slope;
  float* image;  // [3][pixels]
  int64_t first, count;
};

struct ConvKernels {
  const char* name;
  void (*gemm[2])(const GemmArgs&);  // float, bfloat16
  // Around all calls of gemm that have the same rows and words.
  void (*begin_gemm[2])(int rows, int64_t words);
  void (*end_gemm[2])();
  // F(2), F(4), F(6), kUp, kDown; float, bfloat16, bfloat16 of taps in float16.
  void (*weights[5][3])(const WeightArgs&);
  void (*input[5][2])(const InputArgs&);  // likewise
  void (*output[5])(const OutputArgs&);   // likewise; none for kUp
  void (*up_output)(const UpOutputArgs&);
  void (*pointwise)(const PointwiseArgs&);
  void (*to_rgb)(const ToRgbArgs&);
};

extern const ConvKernels kConvGeneric;
extern const ConvKernels kConvAvx2;
extern const ConvKernels kConvAvx512;
extern const ConvKernels kConvAvx512Bf16;
extern const ConvKernels kConvAmxBf16;
extern const ConvKernels kConvNeon;
extern const ConvKernels kConvNeonBf16;

// The kernels in use: the best this processor runs, unless STYLEMAP_ISA or select_isa chose others.
const ConvKernels& conv_kernels();

// Chooses "generic", "avx2", "avx512", "avx512_bf16", "amx_bf16", "neon", "neon_bf16" or "auto" for
// the whole process.
// False if there is no such set or the processor cannot run it.
bool select_isa(const char* name);

}  // namespace stylemap
