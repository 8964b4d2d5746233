// 3 x 3 convolutions of the inference plan on CPUs, by fast algorithms (scheme.h), channels last.
//
//   kPlain  y = conv3x3(x, W), stride 1, padding 1
//   kUp     y = blur(conv_transpose3x3(x, W, stride 2)), the blur [1 3 3 1] / 4 along both axes,
//   padding 1 kDown   y = conv3x3(blur(x), W, stride 2), the blur [1 3 3 1] / 8 along both axes,
//   padding 2
// followed by an epilogue on registers (kernels.h): bias, leaky ReLU, skip connection, modulation,
// and the partials of the output's mean and variance.
#pragma once

#include <cstdint>

#include "kernels/conv2d/kernels.h"

namespace stylemap {

enum class ConvMode : int { kPlain = 0, kUp = 1, kDown = 2 };

// Filters of a model, times a factor in double. They fill `lanes` lanes of every block, from lane
// `first` on: 32 from 0, or gammas 16 from 0 and betas 16 from 16, each with a call of its own.
// What is beyond the outputs or inputs there are is zero.
struct Filters {
  const void* values;  // [outputs][inputs][3][3]
  bool wide;           // double, else float
  int64_t outputs, inputs;
  double factor;
  int first, lanes;
};

struct PackParams {
  ConvMode mode;
  int tile;  // M of kPlain: 2, 4 or 6; else 2
  bool bf16;
  Filters filters;
  int64_t outputs;  // a multiple of kBlock
  int64_t inputs;   // a multiple of kChannels
  void* packed;  // [outputs / 32][conv2d_weight_rows()][inputs][32] float, or pairs along inputs of
                 // bfloat16: [outputs / 32][conv2d_weight_rows()][inputs / 2][32][2]
};

int conv2d_weight_rows(ConvMode mode, int tile);

void conv2d_pack(const PackParams& params);

// The weights as they are, for any mode and tile: a quarter of the memory of packed ones for F(4),
// but transformed again for every group of tiles.
struct TapsParams {
  Filters filters;
  int64_t outputs;  // a multiple of kBlock
  int64_t inputs;   // a multiple of kChannels
  bool half;
  void* taps;  // [outputs / 32][inputs][9][32] float, or float16
};

void conv2d_taps(const TapsParams& params);

// How the work is cut; every choice gives the same bits.
struct Blocking {
  bool shared;  // false: every thread transforms, multiplies and transforms back `tiles` tiles on
                // its own (not with kUp); true: all threads do each of the three steps together
  int tiles;
};

struct Conv2dParams {
  ConvMode mode;
  int tile;   // M of kPlain, else 2
  bool bf16;  // type of the transformed weights; products accumulate in float either way
  bool taps;  // weights are those of conv2d_taps; goes with blocking.shared
  bool half;  // these taps are float16; goes with bf16
  int64_t batch;
  int64_t height, width;  // of x, or with kDown of the output
  int64_t channels;       // of x
  int64_t out_channels;   // of out; with kModulate also of features

  const float* x;   // [batch][height][width][channels] (kDown: [2 height][2 width])
  int64_t x_batch;  // elements from sample to sample; 0 broadcasts
  // Optional modulation of the input, see InputArgs; mean and rstd are [batch or 1][channels].
  const float* modulation;
  int64_t modulation_batch;
  const float* mean;
  const float* rstd;
  int64_t moments_batch;  // also of the epilogue's mean and rstd

  const void* weights;
  const float* bias;  // [blocks * 32] in the order of the packed output channels
  float slope;
  const int32_t* tile_list;  // kPlain: compute these tiles of every sample only; or null for all
  int64_t listed;
  Epilogue epilogue;
  const float* features;  // kModulate: [batch or 1][height][width][out_channels]
  int64_t features_batch;
  Residual residual;
  const float* skip;  // like out, or [batch][height / 2][width / 2][out_channels]

  float* out;       // [batch][height][width][out_channels] (kUp: [2 height][2 width])
  float* partials;  // conv2d_partials() rows of 2 * out_channels + 1: means, M2s, count; or null

  Blocking blocking;
  void* workspace;  // conv2d_workspace() bytes, 64-byte aligned, if blocking.shared
};

// Rows of `partials` per sample.
int64_t conv2d_partials(ConvMode mode, int tile, int64_t height, int64_t width);

int64_t conv2d_workspace(const Conv2dParams& params);

void conv2d(const Conv2dParams& params);

// Joins the partials of each sample's groups of channels, in a fixed order and in double:
// mean and rstd = 1 / sqrt(var + eps) of every channel's group.
struct MomentsParams {
  const float* partials;  // [batch][rows][2 * channels + 1]
  int64_t batch, rows, channels, groups;
  double eps;
  float* mean;  // [batch][channels]
  float* rstd;  // [batch][channels]
};

void conv2d_moments(const MomentsParams& params);

}  // namespace stylemap
