// conv2d of kPlain and kDown: cuts the work into tiles and blocks for the kernels of one
// instruction set.
#include "kernels/conv2d/conv2d.h"

#include <algorithm>

#include "kernels/conv2d/dynamic.h"
#include "kernels/conv2d/layout.h"
#include "kernels/conv2d/products.h"
#include "kernels/conv2d/scratch.h"

namespace stylemap {
namespace {

// Consecutive units of the whole batch, numbered sample after sample.
struct Units {
  int64_t begin, end;
};

int64_t units_of(int64_t tiles) { return ceil_div(tiles, kUnit); }

class Convolution {
 public:
  explicit Convolution(const Conv2dParams& params)
      : p_(params),
        l_(params),
        units_(units_of(l_.tiles)),
        kernels_(conv_kernels()),
        stream_(streams(params)) {}

  void run() const {
    const int64_t units = p_.batch * units_;
    const int64_t step = std::max<int64_t>(1, p_.blocking.tiles / kUnit);
    if (!p_.blocking.shared) {
      parallel_dynamic(ceil_div(units, step), 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          alone({i * step, std::min(units, (i + 1) * step)}, i + 1 < end && !p_.tile_list);
      });
      return;
    }
    for (int64_t at = 0; at < units; at += step) together({at, std::min(units, at + step)});
  }

 private:
  int64_t first_tile(int64_t unit) const {
    return unit / units_ * l_.tiles + std::min(l_.tiles, unit % units_ * kUnit);
  }

  int64_t tile_count(Units units) const { return first_tile(units.end) - first_tile(units.begin); }

  // Calls function(sample, first tile in it, count, offset from the first tile of `units`).
  template <class Function>
  void for_samples(Units units, const Function& function) const {
    const int64_t start = first_tile(units.begin);
    for (int64_t unit = units.begin; unit < units.end;) {
      const int64_t sample = unit / units_;
      const int64_t stop = std::min(units.end, (sample + 1) * units_);
      const int64_t first = first_tile(unit), last = first_tile(stop);
      function(sample, static_cast<int>(first - sample * l_.tiles), static_cast<int>(last - first),
               first - start);
      unit = stop;
    }
  }

  // V of `units`, which are tiles `offset` ... of the `count` tiles v holds.
  void transform_input(Units units, uint32_t* v, int64_t offset, int64_t count) const {
    for_samples(units, [&](int64_t sample, int first, int tiles, int64_t further) {
      InputArgs args = input_args(p_, l_, sample, v, count);
      args.first = first;
      args.count = tiles;
      args.v_first = static_cast<int>(offset + further);
      kernels_.input[kernel_index(p_)][p_.bf16](args);
    });
  }

  // One block of `units`; products is their first tile.
  void transform_output(Units units, int64_t block, const float* products) const {
    for_samples(units, [&](int64_t sample, int first, int count, int64_t offset) {
      OutputArgs args = output_args(sample, block);
      args.products = products + offset * l_.product_tile;
      args.first = first;
      args.count = count;
      if (p_.partials) add_partials(args, sample, block);
      kernels_.output[kernel_index(p_)](args);
    });
  }

  OutputArgs output_args(int64_t sample, int64_t block) const {
    const int64_t channel = block * l_.channels_of_block;
    const int64_t pixels = p_.height * p_.width;
    OutputArgs args{};
    args.tile_stride = l_.product_tile;
    args.grid = {static_cast<int>(p_.height), static_cast<int>(p_.width), l_.tiles_x, p_.tile_list};
    args.bias = p_.bias + block * kBlock;
    args.slope = p_.slope;
    args.epilogue = p_.epilogue;
    args.channels =
        static_cast<int>(std::min<int64_t>(l_.channels_of_block, p_.out_channels - channel));
    args.out = p_.out + sample * pixels * p_.out_channels + channel;
    args.pixel = p_.out_channels;
    args.stream = stream_;
    if (p_.epilogue == Epilogue::kModulate) {
      args.features = p_.features + sample * p_.features_batch + channel;
      args.feature_pixel = p_.out_channels;
      args.mean = p_.mean + sample * p_.moments_batch + channel;
      args.rstd = p_.rstd + sample * p_.moments_batch + channel;
    }
    args.residual = p_.residual;
    if (p_.residual != Residual::kNone) {
      const int64_t skip_pixels =
          p_.residual == Residual::kSame ? pixels : p_.height / 2 * (p_.width / 2);
      args.skip = p_.skip + sample * skip_pixels * p_.out_channels + channel;
      args.skip_pixel = p_.out_channels;
    }
    return args;
  }

  void add_partials(OutputArgs& args, int64_t sample, int64_t block) const {
    args.partial_stride = 2 * p_.out_channels + 1;
    float* row = p_.partials + (sample * units_ + args.first / kUnit) * args.partial_stride;
    args.partial_mean = row + block * l_.channels_of_block;
    args.partial_m2 = args.partial_mean + p_.out_channels;
    if (block > 0) return;
    const int step = l_.scheme.step, last = args.first + args.count;
    for (int at = args.first; at < last; at += kUnit, row += args.partial_stride) {
      int64_t pixels = 0;
      for (int tile = at; tile < std::min(at + kUnit, last); ++tile)
        pixels += std::min<int64_t>(step, p_.height - tile / l_.tiles_x * step) *
                  std::min<int64_t>(step, p_.width - tile % l_.tiles_x * step);
      row[2 * p_.out_channels] = static_cast<float>(pixels);
    }
  }

  // What the tiles after `units` will read, from a buffer of `pixel` floats per pixel.
  Prefetch next_input(Units units, const float* x, int64_t batch, int64_t pixel) const {
    const int64_t sample = units.end / units_, tile = first_tile(units.end) - sample * l_.tiles;
    const int64_t scale = p_.mode == ConvMode::kDown ? 2 : 1, step = l_.scheme.step * scale;
    const int64_t top = tile / l_.tiles_x * step - scale, left = tile % l_.tiles_x * step - scale;
    const int64_t row = p_.width * scale * pixel;
    const int64_t pixels = tile_count(units) * step + 2 * scale;
    return {x + sample * batch + top * row + left * pixel, row, step + 2 * scale, pixels * pixel};
  }

  void alone(Units units, bool more) const {
    const int64_t tiles = tile_count(units);
    const int64_t words = l_.v_words(tiles) + l_.product_words(tiles);
    auto* v = static_cast<uint32_t*>(thread_scratch(words * sizeof(uint32_t)));
    auto* products = reinterpret_cast<float*>(v + l_.v_words(tiles));
    Prefetch x, modulation;
    if (more) x = next_input(units, p_.x, p_.x_batch, p_.channels);
    if (more && p_.modulation)
      modulation = next_input(units, p_.modulation, p_.modulation_batch, l_.modulation_pixel);
    const int64_t steps = l_.blocks * l_.scheme.products;
    const int64_t x_lines = ceil_div(x.lines(), steps);
    const int64_t modulation_lines = ceil_div(modulation.lines(), steps);
    transform_input(units, v, 0, tiles);
    const Multiplying multiplying(kernels_, p_, l_, tiles);
    for (int64_t block = 0; block < l_.blocks; ++block) {
      for (int i = 0; i < l_.scheme.products; ++i) {
        multiply(kernels_, p_, l_, v, tiles, l_.packed_u(p_, block), 0, i, products);
        x.fetch(x_lines);
        modulation.fetch(modulation_lines);
      }
      transform_output(units, block, products);
    }
  }

  void together(Units units) const {
    const int64_t tiles = tile_count(units), start = first_tile(units.begin);
    auto* v = static_cast<uint32_t*>(p_.workspace);
    auto* products = reinterpret_cast<float*>(v + l_.v_words(tiles));
    const int64_t count = units.end - units.begin;
    parallel_dynamic(count, even_chunk(count), [&](int64_t begin, int64_t end) {
      const Units part{units.begin + begin, units.begin + end};
      transform_input(part, v, first_tile(part.begin) - start, tiles);
    });
    multiply_blocks(kernels_, p_, l_, v, tiles, products, l_.product_words(tiles));
    parallel_dynamic(count * l_.blocks, even_chunk(count * l_.blocks),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         const int64_t unit = units.begin + i / l_.blocks, block = i % l_.blocks;
                         transform_output({unit, unit + 1}, block,
                                          products + block * l_.product_words(tiles) +
                                              (first_tile(unit) - start) * l_.product_tile);
                       }
                     });
  }

  const Conv2dParams& p_;
  const Layout l_;
  const int64_t units_;  // of one sample
  const ConvKernels& kernels_;
  const bool stream_;
};

}  // namespace

int64_t conv2d_partials(ConvMode mode, int tile, int64_t height, int64_t width) {
  if (mode == ConvMode::kUp) return 2 * height;  // one per image row
  const int step = conv2d_scheme(mode, tile).step;
  return units_of(ceil_div(height, step) * ceil_div(width, step));
}

int64_t conv2d_workspace(const Conv2dParams& params) {
  if (params.mode == ConvMode::kUp) return conv2d_up_workspace(params);
  if (!params.blocking.shared) return 0;
  const Layout layout(params);
  const int64_t step = std::max(1, params.blocking.tiles / kUnit);
  const int64_t tiles = std::min(step, params.batch * units_of(layout.tiles)) * kUnit;
  return (layout.v_words(tiles) + layout.product_words(tiles) * layout.blocks) * 4;
}

void conv2d(const Conv2dParams& params) {
  if (params.mode == ConvMode::kUp)
    conv2d_up(params);
  else
    Convolution(params).run();
}

}  // namespace stylemap
