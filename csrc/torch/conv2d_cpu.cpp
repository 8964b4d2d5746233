// conv2d: the convolutions of the CPU inference plan (kernels/conv2d/conv2d.h) on NHWC tensors.
#include <torch/csrc/stable/library.h>

#include <optional>
#include <string>

#include "kernels/conv2d/conv2d.h"
#include "torch/conv2d.h"

namespace {

using namespace stylemap::conv2d_binding;
using stylemap::Conv2dParams;
using stylemap::ConvMode;
using stylemap::Filters;
using Optional = std::optional<Tensor>;

int pair_of(const Tensor& packed) { return packed.scalar_type() == ScalarType::BFloat16 ? 2 : 1; }

int64_t conv2d_weight_rows(int64_t mode, int64_t tile) {
  STD_TORCH_CHECK(mode >= 0 && mode <= 2, "conv2d: mode must be 0 (plain), 1 (up) or 2 (down)");
  STD_TORCH_CHECK(tile == 2 || (mode == 0 && (tile == 4 || tile == 6)),
                  "conv2d: tile must be 2, 4 or 6, with mode up or down 2, not ", tile);
  return stylemap::conv2d_weight_rows(static_cast<ConvMode>(mode), static_cast<int>(tile));
}

// Weights from conv2d_taps, which do not tell how they are to be used.
void set_taps(Conv2dParams& p, const Tensor& taps, int64_t mode, int64_t tile, bool bf16) {
  conv2d_weight_rows(mode, tile);
  const bool half = taps.scalar_type() == ScalarType::Half;
  check(taps, "taps", half ? ScalarType::Half : ScalarType::Float, 4);
  STD_TORCH_CHECK(bf16 || !half, "conv2d: taps in float16 are for products in bfloat16");
  STD_TORCH_CHECK(taps.size(2) == 9 && taps.size(3) == stylemap::kBlock,
                  "conv2d: taps must come from conv2d_taps");
  p.mode = static_cast<ConvMode>(mode);
  p.tile = static_cast<int>(tile);
  p.bf16 = bf16;
  p.taps = true;
  p.half = half;
}

// Weights from conv2d_pack, of which the type and the number of rows tell how they are to be used.
void set_packed(Conv2dParams& p, const Tensor& packed, int64_t mode) {
  STD_TORCH_CHECK(mode >= 0 && mode <= 2, "conv2d: mode must be 0 (plain), 1 (up) or 2 (down)");
  STD_TORCH_CHECK(packed.is_cpu() && packed.is_contiguous() && packed.dim() == 4 &&
                      packed.size(3) == stylemap::kBlock * pair_of(packed),
                  "conv2d: packed must come from conv2d_pack");
  p.mode = static_cast<ConvMode>(mode);
  p.bf16 = pair_of(packed) == 2;
  p.tile = 2;
  if (p.mode == ConvMode::kPlain) p.tile = packed.size(1) == 64 ? 6 : packed.size(1) == 36 ? 4 : 2;
  STD_TORCH_CHECK(packed.size(1) == stylemap::conv2d_weight_rows(p.mode, p.tile),
                  "conv2d: packed was made for another mode");
}

// tile: 0 for weights from conv2d_pack.
void set_weights(Conv2dParams& p, const Tensor& weights, int64_t mode, int64_t tile, bool bf16) {
  if (tile)
    set_taps(p, weights, mode, tile, bf16);
  else
    set_packed(p, weights, mode);
}

// Input channels, padded.
int64_t inputs_of(const Conv2dParams& p, const Tensor& weights) {
  return p.taps ? weights.size(1) : weights.size(2) * pair_of(weights);
}

// For `blocks` blocks of `inputs` inputs. first: lane of the block, 16 for betas; lanes: of a
// block.
Filters filters_of(const Tensor& weight, double factor, int64_t first, int64_t lanes,
                   int64_t blocks, int64_t inputs) {
  const bool wide = weight.scalar_type() == ScalarType::Double;
  check(weight, "weight", wide ? ScalarType::Double : ScalarType::Float, 4);
  STD_TORCH_CHECK(weight.size(2) == 3 && weight.size(3) == 3,
                  "conv2d: weight must be a x b x 3 x 3");
  STD_TORCH_CHECK((lanes == 32 && first == 0) || (lanes == 16 && (first == 0 || first == 16)),
                  "conv2d: first and lanes must be 0 and 32, 0 and 16, or 16 and 16");
  STD_TORCH_CHECK(round_up(weight.size(0), lanes) == blocks * lanes &&
                      round_up(weight.size(1), stylemap::kChannels) == inputs,
                  "conv2d: weight has ", weight.size(0), " x ", weight.size(1),
                  " filters, which do not fill ", blocks, " blocks of ", lanes, " and ", inputs,
                  " inputs");
  const void* values = wide ? static_cast<const void*>(weight.const_data_ptr<double>())
                            : weight.const_data_ptr<float>();
  return {values,
          wide,
          weight.size(0),
          weight.size(1),
          factor,
          static_cast<int>(first),
          static_cast<int>(lanes)};
}

void conv2d_pack(Tensor weight, int64_t mode, int64_t tile, Tensor packed, double factor,
                 int64_t first, int64_t lanes) {
  const int64_t rows = conv2d_weight_rows(mode, tile);
  const int64_t pair = pair_of(packed);
  STD_TORCH_CHECK(packed.is_cpu() && packed.is_contiguous() && packed.dim() == 4 &&
                      (pair == 2 || packed.scalar_type() == ScalarType::Float) &&
                      packed.size(1) == rows && packed.size(3) == stylemap::kBlock * pair,
                  "conv2d_pack: packed must be float32 a x ", rows,
                  " x 16 b x 32, or bfloat16 a x ", rows, " x 8 b x 64");
  const int64_t blocks = packed.size(0), inputs = packed.size(2) * pair;
  stylemap::conv2d_pack({static_cast<ConvMode>(mode), static_cast<int>(tile), pair == 2,
                         filters_of(weight, factor, first, lanes, blocks, inputs),
                         blocks * stylemap::kBlock, inputs, packed.mutable_data_ptr()});
}

void conv2d_taps(Tensor weight, Tensor taps, double factor, int64_t first, int64_t lanes) {
  const bool half = taps.scalar_type() == ScalarType::Half;
  check(taps, "taps", half ? ScalarType::Half : ScalarType::Float, 4);
  STD_TORCH_CHECK(taps.size(2) == 9 && taps.size(3) == stylemap::kBlock,
                  "conv2d_taps: taps must be a x 16 b x 9 x 32");
  const int64_t blocks = taps.size(0), inputs = taps.size(1);
  stylemap::conv2d_taps({filters_of(weight, factor, first, lanes, blocks, inputs),
                         blocks * stylemap::kBlock, inputs, half, taps.mutable_data_ptr()});
}

int64_t conv2d_workspace(Tensor packed, int64_t mode, int64_t batch, int64_t height, int64_t width,
                         int64_t tiles, int64_t tile, bool bf16) {
  Conv2dParams p{};
  set_weights(p, packed, mode, tile, bf16);
  p.batch = batch;
  p.height = height;
  p.width = width;
  p.channels = inputs_of(p, packed);
  p.out_channels = packed.size(0) * stylemap::kBlock;
  p.blocking = {true, static_cast<int>(tiles)};
  return stylemap::conv2d_workspace(p);
}

// What the sizes of x, packed and out have to do with each other; fills the sizes of p.
void set_sizes(Conv2dParams& p, const Tensor& x, const Tensor& packed, const Tensor& out,
               bool modulates) {
  check(x, "x", ScalarType::Float, 4);
  check(out, "out", ScalarType::Float, 4);
  p.batch = out.size(0);
  p.channels = x.size(3);
  p.out_channels = out.size(3);
  const bool down = p.mode == ConvMode::kDown, up = p.mode == ConvMode::kUp;
  p.height = down ? out.size(1) : x.size(1);
  p.width = down ? out.size(2) : x.size(2);
  STD_TORCH_CHECK(
      p.batch >= 1 && p.height >= 1 && p.width >= 1 && p.channels >= 1 && p.out_channels >= 1,
      "conv2d: empty tensors");
  check_shape(x, "x", false, p.batch, p.height * (down ? 2 : 1), p.width * (down ? 2 : 1),
              p.channels);
  check_shape(out, "out", true, p.batch, p.height * (up ? 2 : 1), p.width * (up ? 2 : 1),
              p.out_channels);
  const int64_t inputs = inputs_of(p, packed);
  const int64_t wanted = round_up(p.channels, stylemap::kChannels);
  STD_TORCH_CHECK(inputs == wanted, "conv2d: packed has ", inputs, " input channels, x needs ",
                  wanted);
  const int64_t per_block = modulates ? stylemap::kChannels : stylemap::kBlock;
  const int64_t blocks = round_up(p.out_channels, per_block) / per_block;
  STD_TORCH_CHECK(packed.size(0) == blocks, "conv2d: packed has ", packed.size(0),
                  " blocks, out needs ", blocks);
  p.x = x.const_data_ptr<float>();
  p.x_batch = batch_stride(x);
  p.weights = packed.const_data_ptr();
  p.out = out.mutable_data_ptr<float>();
}

void set_moments(Conv2dParams& p, const Optional& mean, const Optional& rstd, int64_t channels) {
  STD_TORCH_CHECK(mean && rstd, "conv2d: a modulation needs mean and rstd");
  check_moments(*mean, *rstd, p.batch, channels);
  p.mean = mean->const_data_ptr<float>();
  p.rstd = rstd->const_data_ptr<float>();
  p.moments_batch = batch_stride(*mean);
}

void set_skip(Conv2dParams& p, const Tensor& skip) {
  STD_TORCH_CHECK(p.mode != ConvMode::kUp && p.epilogue == stylemap::Epilogue::kActivate,
                  "conv2d: a skip goes with an activation at the resolution of the convolution");
  const bool same = skip.dim() == 4 && skip.size(1) == p.height && skip.size(2) == p.width;
  STD_TORCH_CHECK(same || (p.height % 2 == 0 && p.width % 2 == 0),
                  "conv2d: an upsampled skip needs even sizes");
  const int64_t by = same ? 1 : 2;
  check_shape(skip, "skip", true, p.batch, p.height / by, p.width / by, p.out_channels);
  p.residual = same ? stylemap::Residual::kSame : stylemap::Residual::kUpsampled;
  p.skip = skip.const_data_ptr<float>();
}

// The tiles of kPlain to compute; what lies outside them in out stays as it is.
void set_tiles(Conv2dParams& p, const Tensor& list) {
  STD_TORCH_CHECK(list.is_cpu() && list.is_contiguous() && list.dim() == 1 &&
                      list.scalar_type() == ScalarType::Int && list.numel() >= 1,
                  "conv2d: tile_list must be a vector of int32 on the CPU");
  STD_TORCH_CHECK(p.mode == ConvMode::kPlain && !p.partials,
                  "conv2d: tile_list goes with mode plain and without partials");
  const int64_t tiles = round_up(p.height, p.tile) / p.tile * (round_up(p.width, p.tile) / p.tile);
  p.tile_list = list.const_data_ptr<int32_t>();
  p.listed = list.numel();
  for (int64_t i = 0; i < p.listed; ++i)
    STD_TORCH_CHECK(p.tile_list[i] >= 0 && p.tile_list[i] < tiles, "conv2d: tile_list has ",
                    p.tile_list[i], " but there are ", tiles, " tiles");
}

void conv2d(Tensor x, Tensor packed, Tensor bias, double slope, int64_t mode, Optional modulation,
            Optional features, Optional mean, Optional rstd, Optional skip, Tensor out,
            Optional partials, Optional workspace, int64_t tiles, Optional tile_list, int64_t tile,
            bool bf16) {
  Conv2dParams p{};
  set_weights(p, packed, mode, tile, bf16);
  p.epilogue = features ? stylemap::Epilogue::kModulate : stylemap::Epilogue::kActivate;
  set_sizes(p, x, packed, out, features.has_value());
  check(bias, "bias", ScalarType::Float, 1);
  STD_TORCH_CHECK(bias.size(0) == packed.size(0) * stylemap::kBlock,
                  "conv2d: bias must have one value per packed output channel");
  p.bias = bias.const_data_ptr<float>();
  p.slope = static_cast<float>(slope);
  STD_TORCH_CHECK(!(modulation && features), "conv2d: modulate the input or the output, not both");
  if (modulation) {
    STD_TORCH_CHECK(p.mode != ConvMode::kDown, "conv2d: mode down takes no modulation");
    check_shape(*modulation, "modulation", false, p.batch, p.height, p.width,
                2 * round_up(p.channels, stylemap::kChannels));
    p.modulation = modulation->const_data_ptr<float>();
    p.modulation_batch = batch_stride(*modulation);
    set_moments(p, mean, rstd, p.channels);
  }
  if (features) {
    STD_TORCH_CHECK(p.mode == ConvMode::kPlain, "conv2d: features go with mode plain");
    check_shape(*features, "features", false, p.batch, p.height, p.width, p.out_channels);
    p.features = features->const_data_ptr<float>();
    p.features_batch = batch_stride(*features);
    set_moments(p, mean, rstd, p.out_channels);
  }
  if (skip) set_skip(p, *skip);
  if (partials) {
    check(*partials, "partials", ScalarType::Float, 3);
    STD_TORCH_CHECK(
        partials->size(0) == p.batch &&
            partials->size(1) == stylemap::conv2d_partials(p.mode, p.tile, p.height, p.width) &&
            partials->size(2) == 2 * p.out_channels + 1,
        "conv2d: partials must be batch x conv2d_partials() x 2 * channels + 1");
    p.partials = partials->mutable_data_ptr<float>();
  }
  if (tile_list) set_tiles(p, *tile_list);
  STD_TORCH_CHECK(tiles >= 1, "conv2d: tiles must be positive");
  STD_TORCH_CHECK(workspace || (p.mode != ConvMode::kUp && !p.taps),
                  "conv2d: mode up and taps need a workspace");
  p.blocking = {workspace.has_value(), static_cast<int>(tiles)};
  if (workspace) {
    check(*workspace, "workspace", ScalarType::Byte, 1);
    STD_TORCH_CHECK(workspace->numel() >= stylemap::conv2d_workspace(p),
                    "conv2d: workspace is too small");
    p.workspace = workspace->mutable_data_ptr();
  }
  stylemap::conv2d(p);
}

int64_t conv2d_partials(int64_t mode, int64_t tile, int64_t height, int64_t width) {
  return stylemap::conv2d_partials(static_cast<ConvMode>(mode), static_cast<int>(tile), height,
                                   width);
}

void conv2d_moments(Tensor partials, int64_t groups, double eps, Tensor mean, Tensor rstd) {
  check(partials, "partials", ScalarType::Float, 3);
  const int64_t channels = (partials.size(2) - 1) / 2;
  for (const Tensor* moments : {&mean, &rstd}) {
    check(*moments, "mean and rstd", ScalarType::Float, 2);
    STD_TORCH_CHECK(moments->size(0) == partials.size(0) && moments->size(1) == channels,
                    "conv2d_moments: mean and rstd must be batch x channels");
  }
  STD_TORCH_CHECK(groups >= 1 && channels % groups == 0, "conv2d_moments: ", channels,
                  " channels do not divide into ", groups, " groups");
  stylemap::conv2d_moments({partials.const_data_ptr<float>(), partials.size(0), partials.size(1),
                            channels, groups, eps, mean.mutable_data_ptr<float>(),
                            rstd.mutable_data_ptr<float>()});
}

bool conv2d_select_isa(std::string name) { return stylemap::select_isa(name.c_str()); }

std::string conv2d_isa() { return stylemap::conv_kernels().name; }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(stylemap, m) {
  m.def("conv2d_weight_rows(int mode, int tile) -> int");
  m.def(
      "conv2d_pack(Tensor weight, int mode, int tile, Tensor(a!) packed, float factor=1.0, int "
      "first=0, int lanes=32) -> ()");
  m.def(
      "conv2d_taps(Tensor weight, Tensor(a!) taps, float factor=1.0, int first=0, int lanes=32) -> "
      "()");
  m.def(
      "conv2d_workspace(Tensor packed, int mode, int batch, int height, int width, int tiles, int "
      "tile=0, bool bf16=False) -> int");
  m.def("conv2d_partials(int mode, int tile, int height, int width) -> int");
  m.def(
      "conv2d(Tensor x, Tensor packed, Tensor bias, float slope, int mode, Tensor? modulation, "
      "Tensor? features, Tensor? mean, Tensor? rstd, Tensor? skip, Tensor(a!) out, Tensor(b!)? "
      "partials, Tensor(c!)? workspace, int tiles, Tensor? tile_list=None, int tile=0, bool "
      "bf16=False) -> ()");
  m.def(
      "conv2d_moments(Tensor partials, int groups, float eps, Tensor(a!) mean, Tensor(b!) rstd) -> "
      "()");
  m.def("conv2d_select_isa(str name) -> bool");
  m.def("conv2d_isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(stylemap, CPU, m) {
  m.impl("conv2d_pack", TORCH_BOX(&conv2d_pack));
  m.impl("conv2d_taps", TORCH_BOX(&conv2d_taps));
  m.impl("conv2d_workspace", TORCH_BOX(&conv2d_workspace));
  m.impl("conv2d", TORCH_BOX(&conv2d));
  m.impl("conv2d_moments", TORCH_BOX(&conv2d_moments));
}

STABLE_TORCH_LIBRARY_IMPL(stylemap, CompositeExplicitAutograd, m) {
  m.impl("conv2d_weight_rows", TORCH_BOX(&conv2d_weight_rows));
  m.impl("conv2d_partials", TORCH_BOX(&conv2d_partials));
  m.impl("conv2d_select_isa", TORCH_BOX(&conv2d_select_isa));
  m.impl("conv2d_isa", TORCH_BOX(&conv2d_isa));
}
