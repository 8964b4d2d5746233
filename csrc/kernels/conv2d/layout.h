// Sizes of everything conv2d allocates, the products every driver asks for, and the prefetch of
// what will be read.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/scheme.h"

namespace stylemap {

constexpr int kPad = 16;  // words between rows whose distance would be a multiple of 4 KiB

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Where V and the products of `tiles` tiles lie.
struct Layout {
  const Scheme& scheme;
  int tiles_x, tiles_y;  // of one sample
  int64_t tiles;         // of one sample that are computed
  int64_t words;         // K as 32-bit words
  int64_t blocks;
  int channels_of_block;  // output channels that a block advances by
  int64_t modulation_pixel;
  int64_t product_tile;  // words from tile to tile of the products of one block

  explicit Layout(const Conv2dParams& p) : scheme(conv2d_scheme(p.mode, p.tile)) {
    tiles_x = static_cast<int>(ceil_div(p.width, scheme.step));
    tiles_y = static_cast<int>(ceil_div(p.height, scheme.step));
    tiles = p.tile_list ? p.listed : int64_t{tiles_x} * tiles_y;
    const int64_t padded = ceil_div(p.channels, kChannels) * kChannels;
    words = padded / (p.bf16 ? 2 : 1);
    channels_of_block = p.epilogue == Epilogue::kModulate ? kChannels : kBlock;
    blocks = ceil_div(p.out_channels, channels_of_block);
    modulation_pixel = padded * 2;
    product_tile = int64_t{scheme.products} * kBlock + kPad;
  }

  // Words from the start of V to a plane of it.
  int64_t v_plane(int plane, int64_t count) const {
    return scheme.input_start[plane] * words * count + int64_t{plane} * kPad;
  }
  // U of a block, where the weights are packed.
  const uint32_t* packed_u(const Conv2dParams& p, int64_t block) const {
    return static_cast<const uint32_t*>(p.weights) + block * scheme.weight_rows * words * kBlock;
  }
  int64_t v_words(int64_t count) const { return v_plane(scheme.input_planes, count); }
  int64_t product_words(int64_t count) const { return product_tile * count; }
};

// What does not depend on which tiles are transformed.
inline InputArgs input_args(const Conv2dParams& p, const Layout& layout, int64_t sample,
                            uint32_t* v, int64_t count) {
  InputArgs args{};
  args.x = p.x + sample * p.x_batch;
  args.channels = static_cast<int>(p.channels);
  args.grid = {static_cast<int>(p.height), static_cast<int>(p.width), layout.tiles_x, p.tile_list};
  if (p.modulation) {
    args.modulation = p.modulation + sample * p.modulation_batch;
    args.modulation_pixel = layout.modulation_pixel;
    args.mean = p.mean + sample * p.moments_batch;
    args.rstd = p.rstd + sample * p.moments_batch;
  }
  args.v = v;
  args.words = layout.words;
  for (int i = 0; i < layout.scheme.input_planes; ++i) args.plane[i] = layout.v_plane(i, count);
  return args;
}

// Where the kernels of a mode are in the tables of `ConvKernels`.
inline int kernel_index(const Conv2dParams& p) {
  return p.mode == ConvMode::kUp ? 3 : p.mode == ConvMode::kDown ? 4 : p.tile / 2 - 1;
}

// Lasts as long as a thread calls `multiply` with one count of tiles.
class Multiplying {
 public:
  Multiplying(const ConvKernels& kernels, const Conv2dParams& p, const Layout& layout,
              int64_t count)
      : end_(kernels.end_gemm[p.bf16]) {
    kernels.begin_gemm[p.bf16](static_cast<int>(count), layout.words);
  }
  ~Multiplying() { end_(); }
  Multiplying(const Multiplying&) = delete;
  Multiplying& operator=(const Multiplying&) = delete;

 private:
  void (*end_)();
};

// Product `which` of `count` tiles and one block; v holds these tiles, `products` is the first
// one's, `u` the rows of the block's U from `first_row` on.
inline void multiply(const ConvKernels& kernels, const Conv2dParams& p, const Layout& layout,
                     const uint32_t* v, int64_t count, const uint32_t* u, int first_row, int which,
                     float* products) {
  const Scheme::Product& product = layout.scheme.product[which];
  GemmArgs args;
  args.inputs = v + layout.v_plane(product.input_plane, count);
  args.weights = u + (product.weight_row - first_row) * layout.words * kBlock;
  args.products = products + int64_t{which} * kBlock;
  args.depth = layout.scheme.depth(product.input_plane) * layout.words;
  args.words = layout.words;
  args.input_stride = args.depth;
  args.product_stride = layout.product_tile;
  args.rows = static_cast<int>(count);
  kernels.gemm[p.bf16](args);
}

// Outputs that the cache cannot keep anyway are not read before they are written.
inline bool streams(const Conv2dParams& p) {
  constexpr int64_t kStreamBytes = int64_t{12} << 20;
  const int64_t scale = p.mode == ConvMode::kUp ? 4 : 1;
  const int64_t bytes = p.batch * p.height * p.width * scale * p.out_channels * 4;
  return bytes >= kStreamBytes && p.out_channels % kBlock == 0 &&
         reinterpret_cast<uintptr_t>(p.out) % 64 == 0;
}

// Fetches rows of memory into the cache a few lines at a time, while products keep the core busy.
class Prefetch {
 public:
  Prefetch() = default;
  Prefetch(const float* first_row, int64_t row, int64_t rows, int64_t floats)
      : at_(reinterpret_cast<const char*>(first_row)),
        row_(row * int64_t{sizeof(float)}),
        bytes_(floats * int64_t{sizeof(float)}),
        rows_(rows) {}

  int64_t lines() const { return rows_ * (bytes_ / 64 + 1); }

  void fetch(int64_t lines) {
    for (; lines > 0 && rows_ > 0; --lines) {
      __builtin_prefetch(at_ + offset_, 0, 2);
      offset_ += 64;
      if (offset_ > bytes_) {
        offset_ = 0;
        at_ += row_;
        --rows_;
      }
    }
  }

 private:
  const char* at_ = nullptr;
  int64_t row_ = 0, bytes_ = 0, offset_ = 0, rows_ = 0;
};

// conv2d of kUp (up_cpu.cpp).
void conv2d_up(const Conv2dParams& params);
int64_t conv2d_up_workspace(const Conv2dParams& params);

}  // namespace stylemap
