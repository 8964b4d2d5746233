// conv2d of kUp: groups of whole tile rows, since the blur reaches over tiles.
#include <algorithm>

#include "kernels/conv2d/dynamic.h"
#include "kernels/conv2d/layout.h"
#include "kernels/conv2d/products.h"
#include "kernels/conv2d/scratch.h"

namespace stylemap {
namespace {

constexpr int kBands = 8;  // of one task of the last step, which redoes one tile row at its start

// Tile rows computed together: some rows of one sample, or all rows of several samples.
struct Group {
  int64_t sample, samples;
  int first_row, rows;
};

class UpConvolution {
 public:
  explicit UpConvolution(const Conv2dParams& params)
      : p_(params), l_(params), kernels_(conv_kernels()), stream_(streams(params)) {
    const int64_t rows = std::max<int64_t>(1, p_.blocking.tiles / l_.tiles_x);
    rows_ = static_cast<int>(std::min<int64_t>(rows, l_.tiles_y));
    samples_ = std::clamp<int64_t>(rows / l_.tiles_y, 1, p_.batch);
  }

  // Products keep one tile row more: the last of the group before.
  int64_t workspace() const { return l_.v_words(group_tiles()) + l_.blocks * product_block(); }

  void run() const {
    for (int64_t sample = 0; sample < p_.batch; sample += samples_) {
      const int64_t samples = std::min(samples_, p_.batch - sample);
      for (int row = 0; row < l_.tiles_y; row += rows_)
        compute({sample, samples, row, std::min(rows_, l_.tiles_y - row)});
    }
  }

 private:
  int64_t group_tiles() const { return samples_ * rows_ * l_.tiles_x; }
  int64_t product_block() const { return l_.product_words(group_tiles() + l_.tiles_x); }

  void compute(const Group& group) const {
    auto* v = static_cast<uint32_t*>(p_.workspace);
    auto* products = reinterpret_cast<float*>(v + l_.v_words(group_tiles()));
    const int64_t per_sample = int64_t{group.rows} * l_.tiles_x, count = group.samples * per_sample;
    parallel_dynamic(group.samples * group.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) transform_input(group, i, v, count);
    });
    const int64_t kept = l_.product_words(l_.tiles_x);
    multiply_blocks(kernels_, p_, l_, v, count, products + kept, product_block());
    const bool last = group.first_row + group.rows == l_.tiles_y;
    const int64_t bands = group.rows + (last ? 1 : 0), chunks = ceil_div(bands, kBands);
    parallel_dynamic(group.samples * l_.blocks * chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t chunk = i % chunks, block = i / chunks % l_.blocks;
        const int64_t from = chunk * kBands, to = std::min<int64_t>(bands, from + kBands);
        transform_output(group, i / chunks / l_.blocks, block, static_cast<int>(from),
                         static_cast<int>(to), products + block * product_block());
      }
    });
    if (last) return;
    for (int64_t block = 0; block < l_.blocks; ++block) {
      float* to = products + block * product_block();
      std::copy_n(to + l_.product_words(per_sample), kept, to);
    }
  }

  // Tile row `index` of the group.
  void transform_input(const Group& group, int64_t index, uint32_t* v, int64_t count) const {
    InputArgs args = input_args(p_, l_, group.sample + index / group.rows, v, count);
    args.first = static_cast<int>((group.first_row + index % group.rows) * l_.tiles_x);
    args.count = l_.tiles_x;
    args.v_first = static_cast<int>(index * l_.tiles_x);
    kernels_.input[kernel_index(p_)][p_.bf16](args);
  }

  // Bands [from, to) of the group's `index`-th sample; products starts with the kept tile row.
  void transform_output(const Group& group, int64_t index, int64_t block, int from, int to,
                        const float* products) const {
    const int64_t sample = group.sample + index, channel = block * kBlock;
    const int64_t height = 2 * p_.height, width = 2 * p_.width;
    UpOutputArgs args{};
    args.products = products + l_.product_words(index * group.rows * l_.tiles_x);
    args.first_row = group.first_row - 1;
    args.tile_stride = l_.product_tile;
    args.tiles_x = l_.tiles_x;
    args.tiles_y = l_.tiles_y;
    args.height = static_cast<int>(height);
    args.width = static_cast<int>(width);
    args.bias = p_.bias + channel;
    args.slope = p_.slope;
    args.channels = static_cast<int>(std::min<int64_t>(kBlock, p_.out_channels - channel));
    args.out = p_.out + sample * height * width * p_.out_channels + channel;
    args.pixel = p_.out_channels;
    args.stream = stream_;
    args.first = group.first_row + from;
    args.last = group.first_row + to;
    args.scratch =
        static_cast<float*>(thread_scratch(up_scratch(l_.tiles_x) * int64_t{sizeof(float)}));
    if (p_.partials) {
      args.partial_stride = 2 * p_.out_channels + 1;
      float* rows = p_.partials + sample * height * args.partial_stride;
      args.partial_mean = rows + channel;
      args.partial_m2 = args.partial_mean + p_.out_channels;
      if (block == 0) count_pixels(args, rows + 2 * p_.out_channels);
    }
    kernels_.up_output(args);
  }

  void count_pixels(const UpOutputArgs& args, float* counts) const {
    const int first = std::max(0, 4 * args.first - 2),
              last = std::min(args.height, 4 * args.last - 2);
    for (int y = first; y < last; ++y)
      counts[y * args.partial_stride] = static_cast<float>(args.width);
  }

  const Conv2dParams& p_;
  const Layout l_;
  const ConvKernels& kernels_;
  const bool stream_;
  int rows_;         // tile rows of a group
  int64_t samples_;  // samples of a group; more than one only with all rows
};

}  // namespace

void conv2d_up(const Conv2dParams& params) { UpConvolution(params).run(); }

int64_t conv2d_up_workspace(const Conv2dParams& params) {
  return UpConvolution(params).workspace() * 4;
}

}  // namespace stylemap
