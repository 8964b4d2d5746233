// conv2d: cuts the work into tiles and blocks and hands it to the kernels of one instruction set.
#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/scratch.h"
#include "kernels/conv2d/winograd_layout.h"

namespace stylemap {
namespace {

constexpr int64_t kStreamBytes = int64_t{12} << 20;

// Consecutive units of the whole batch, numbered sample after sample.
struct Units {
  int64_t begin, end;
};

class Convolution {
 public:
  explicit Convolution(const Conv2dParams& params)
      : p_(params), l_(params), kernels_(conv_kernels()), stream_(streams()) {}

  void run() const {
    const int64_t units = p_.batch * l_.units;
    const int64_t step = std::max<int64_t>(1, p_.blocking.tiles / kUnit);
    if (!p_.blocking.shared) {
      parallel_for(ceil_div(units, step), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          alone({i * step, std::min(units, (i + 1) * step)}, i + 1 < end);
      });
      return;
    }
    for (int64_t at = 0; at < units; at += step) together({at, std::min(units, at + step)});
  }

 private:
  // Outputs that the cache cannot keep anyway are not read before they are written.
  bool streams() const {
    const int64_t scale = l_.out_phases == 4 ? 4 : 1;
    const int64_t bytes = p_.batch * p_.height * p_.width * scale * p_.out_channels * 4;
    return bytes >= kStreamBytes && p_.out_channels % kBlock == 0 &&
           reinterpret_cast<uintptr_t>(p_.out) % 64 == 0;
  }

  int64_t first_tile(int64_t unit) const {
    return unit / l_.units * l_.tiles + std::min(l_.tiles, unit % l_.units * kUnit);
  }

  int64_t tile_count(Units units) const { return first_tile(units.end) - first_tile(units.begin); }

  // Calls function(sample, first tile in it, count, offset from the first tile of `units`).
  template <class Function>
  void for_samples(Units units, const Function& function) const {
    const int64_t start = first_tile(units.begin);
    for (int64_t unit = units.begin; unit < units.end;) {
      const int64_t sample = unit / l_.units;
      const int64_t stop = std::min(units.end, (sample + 1) * l_.units);
      const int64_t first = first_tile(unit), last = first_tile(stop);
      function(sample, static_cast<int>(first - sample * l_.tiles), static_cast<int>(last - first),
               first - start);
      unit = stop;
    }
  }

  TileGrid grid() const {
    return {static_cast<int>(p_.height), static_cast<int>(p_.width), l_.tiles_x};
  }

  // V of `units`; v is its first tile in planes of `plane` words.
  void transform_input(Units units, uint32_t* v, int64_t plane) const {
    for_samples(units, [&](int64_t sample, int first, int count, int64_t offset) {
      InputArgs args{};
      args.x = p_.x + sample * p_.x_batch;
      args.pixel = p_.channels;
      args.channels = static_cast<int>(p_.channels);
      args.phases = p_.mode == ConvMode::kDown ? 2 : 1;
      args.grid = grid();
      if (p_.modulation) {
        args.modulation = p_.modulation + sample * p_.modulation_batch;
        args.modulation_pixel = l_.modulation_pixel;
        args.mean = p_.mean + sample * p_.moments_batch;
        args.rstd = p_.rstd + sample * p_.moments_batch;
      }
      args.first = first;
      args.count = count;
      args.v = v + offset * l_.v_tile;
      args.tile_stride = l_.v_tile;
      args.plane_stride = plane;
      kernels_.input[p_.tile / 2 - 1][p_.bf16](args);
    });
  }

  void multiply(const uint32_t* v, int64_t tiles, int64_t block, int plane, float* products) const {
    const int64_t panel = (block * l_.planes + plane) * l_.depth * kBlock;
    GemmArgs args;
    args.inputs = v;
    args.weights = static_cast<const uint32_t*>(p_.weights) + panel;
    args.products = products + int64_t{plane} * kBlock;
    args.input_stride = l_.v_tile;
    args.product_stride = l_.product_tile;
    args.depth = l_.depth;
    args.rows = static_cast<int>(tiles);
    kernels_.gemm[p_.bf16](args);
  }

  // One block of `units`; products is their first tile.
  void transform_output(Units units, int64_t block, const float* products) const {
    for_samples(units, [&](int64_t sample, int first, int count, int64_t offset) {
      kernels_.output[p_.tile / 2 - 1](
          output_args(sample, block, first, count, products + offset * l_.product_tile));
    });
  }

  OutputArgs output_args(int64_t sample, int64_t block, int first, int count,
                         const float* products) const {
    const int64_t phase = block / l_.phase_blocks, in_phase = block % l_.phase_blocks;
    const int64_t channel = in_phase * l_.channels_of_block;
    const int scale = l_.out_phases == 4 ? 2 : 1;
    const int64_t out_width = p_.width * scale, out_height = p_.height * scale;
    OutputArgs args{};
    args.products = products;
    args.tile_stride = l_.product_tile;
    args.grid = grid();
    args.bias = p_.bias + in_phase * kBlock;
    args.slope = p_.slope;
    args.epilogue = p_.epilogue;
    args.channels =
        static_cast<int>(std::min<int64_t>(l_.channels_of_block, p_.out_channels - channel));
    args.pixel = p_.out_channels;
    args.row = out_width * p_.out_channels;
    args.scale = scale;
    args.stream = stream_;
    args.out = p_.out + sample * out_height * args.row + phase / 2 * args.row +
               phase % 2 * args.pixel + channel;
    if (p_.epilogue == Epilogue::kModulate) {
      args.features = p_.features + sample * p_.features_batch + channel;
      args.feature_pixel = p_.out_channels;
      args.mean = p_.mean + sample * p_.moments_batch + channel;
      args.rstd = p_.rstd + sample * p_.moments_batch + channel;
    }
    args.residual = p_.residual;
    if (p_.residual != Residual::kNone) {
      const int64_t pixels =
          p_.residual == Residual::kSame ? p_.height * p_.width : p_.height / 2 * (p_.width / 2);
      args.skip = p_.skip + sample * pixels * p_.out_channels + channel;
      args.skip_pixel = p_.out_channels;
    }
    if (p_.partials) {
      args.partial_stride = 2 * p_.out_channels + 1;
      const int64_t row = (sample * l_.out_phases + phase) * l_.units + first / kUnit;
      float* partial = p_.partials + row * args.partial_stride;
      args.partial_mean = partial + channel;
      args.partial_m2 = partial + p_.out_channels + channel;
      if (in_phase == 0) count_pixels(first, count, partial + 2 * p_.out_channels);
    }
    args.first = first;
    args.count = count;
    return args;
  }

  void count_pixels(int first, int count, float* counts) const {
    for (int at = first; at < first + count; at += kUnit) {
      int64_t pixels = 0;
      for (int tile = at; tile < std::min(at + kUnit, first + count); ++tile) {
        const int64_t top = tile / l_.tiles_x * p_.tile, left = tile % l_.tiles_x * p_.tile;
        pixels += std::min<int64_t>(p_.tile, p_.height - top) *
                  std::min<int64_t>(p_.tile, p_.width - left);
      }
      *counts = static_cast<float>(pixels);
      counts += 2 * p_.out_channels + 1;
    }
  }

  // What the tiles after `units` will read of x, from a buffer of `pixel` floats per pixel.
  Prefetch next_input(Units units, const float* x, int64_t batch, int64_t pixel) const {
    const int64_t sample = units.end / l_.units, tile = first_tile(units.end) - sample * l_.tiles;
    const int64_t top = tile / l_.tiles_x * p_.tile - 1, left = tile % l_.tiles_x * p_.tile - 1;
    const int64_t scale = p_.mode == ConvMode::kDown ? 2 : 1, row = p_.width * scale * pixel;
    const int64_t pixels = (tile_count(units) * p_.tile + 2) * scale;
    return {x + sample * batch + top * scale * row + left * scale * pixel, row,
            static_cast<int>((p_.tile + 2) * scale), pixels * pixel};
  }

  void alone(Units units, bool more) const {
    const int64_t tiles = tile_count(units), plane = l_.v_plane(tiles);
    const int64_t words = l_.v_words(tiles) + l_.product_words(tiles);
    auto* v = static_cast<uint32_t*>(thread_scratch(words * sizeof(uint32_t)));
    auto* products = reinterpret_cast<float*>(v + l_.v_words(tiles));
    Prefetch x, modulation;
    if (more) x = next_input(units, p_.x, p_.x_batch, p_.channels);
    if (more && p_.modulation)
      modulation = next_input(units, p_.modulation, p_.modulation_batch, l_.modulation_pixel);
    const int64_t x_lines = ceil_div(x.lines(), l_.blocks * l_.planes);
    const int64_t modulation_lines = ceil_div(modulation.lines(), l_.blocks * l_.planes);
    transform_input(units, v, plane);
    for (int64_t block = 0; block < l_.blocks; ++block) {
      for (int i = 0; i < l_.planes; ++i) {
        multiply(v + i * plane, tiles, block, i, products);
        x.fetch(x_lines);
        modulation.fetch(modulation_lines);
      }
      transform_output(units, block, products);
    }
  }

  void together(Units units) const {
    const int64_t tiles = tile_count(units), plane = l_.v_plane(tiles);
    auto* v = static_cast<uint32_t*>(p_.workspace);
    auto* products = reinterpret_cast<float*>(v + l_.v_words(tiles));
    const int64_t count = units.end - units.begin;
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      const Units part{units.begin + begin, units.begin + end};
      const int64_t offset = first_tile(part.begin) - first_tile(units.begin);
      transform_input(part, v + offset * l_.v_tile, plane);
    });
    parallel_for(l_.planes * l_.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t block = i % l_.blocks;
        const int which = static_cast<int>(i / l_.blocks);
        multiply(v + which * plane, tiles, block, which,
                 products + block * l_.product_words(tiles));
      }
    });
    parallel_for(count * l_.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t unit = units.begin + i / l_.blocks, block = i % l_.blocks;
        const int64_t offset = first_tile(unit) - first_tile(units.begin);
        transform_output({unit, unit + 1}, block,
                         products + block * l_.product_words(tiles) + offset * l_.product_tile);
      }
    });
  }

  const Conv2dParams& p_;
  const Layout l_;
  const ConvKernels& kernels_;
  const bool stream_;
};

}  // namespace

int64_t conv2d_partials(ConvMode mode, int tile, int64_t height, int64_t width) {
  const int64_t tiles = ceil_div(height, tile) * ceil_div(width, tile);
  return ceil_div(tiles, kUnit) * (mode == ConvMode::kUp ? 4 : 1);
}

int64_t conv2d_workspace(const Conv2dParams& params) {
  if (!params.blocking.shared) return 0;
  const Layout layout(params);
  const int64_t step = std::max(1, params.blocking.tiles / kUnit);
  const int64_t tiles = std::min(step, params.batch * layout.units) * kUnit;
  return (layout.v_words(tiles) + layout.product_words(tiles) * layout.blocks) * 4;
}

void conv2d(const Conv2dParams& params) { Convolution(params).run(); }

}  // namespace stylemap
