// Sizes of everything conv2d allocates, and the prefetch of what it will read.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace stylemap {

constexpr int kPad = 16;  // words between rows whose distance would be a multiple of 4 KiB

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The sizes everything else follows from.
struct Layout {
  int planes;
  int tiles_x;
  int64_t tiles;         // of one sample
  int64_t units;         // of one sample
  int64_t depth;         // input channels as the products see them, in 32-bit words
  int out_phases;        // 1 or 4
  int64_t phase_blocks;  // blocks of one phase
  int64_t blocks;
  int channels_of_block;  // output channels that a block advances by
  int64_t modulation_pixel;
  int64_t v_tile;        // words from tile to tile of V
  int64_t product_tile;  // words from tile to tile of the products of one block

  explicit Layout(const Conv2dParams& p) {
    planes = (p.tile + 2) * (p.tile + 2);
    tiles_x = static_cast<int>(ceil_div(p.width, p.tile));
    tiles = tiles_x * ceil_div(p.height, p.tile);
    units = ceil_div(tiles, kUnit);
    const int64_t padded = ceil_div(p.channels, kChannels) * kChannels;
    depth = padded * (p.mode == ConvMode::kDown ? 4 : 1) / (p.bf16 ? 2 : 1);
    out_phases = p.mode == ConvMode::kUp ? 4 : 1;
    channels_of_block = p.epilogue == Epilogue::kModulate ? kChannels : kBlock;
    phase_blocks = ceil_div(p.out_channels, channels_of_block);
    blocks = phase_blocks * out_phases;
    modulation_pixel = padded * 2;
    v_tile = depth;
    product_tile = int64_t{planes} * kBlock + kPad;
  }

  int64_t v_plane(int64_t count) const { return count * v_tile + kPad; }
  int64_t v_words(int64_t count) const { return v_plane(count) * planes; }
  int64_t product_words(int64_t count) const { return product_tile * count; }
};

// Fetches rows of memory into the cache a few lines at a time, while the products keep the core
// busy.
class Prefetch {
 public:
  Prefetch() = default;
  Prefetch(const float* first_row, int64_t row, int rows, int64_t floats)
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
  int64_t row_ = 0, bytes_ = 0, offset_ = 0;
  int rows_ = 0;
};

}  // namespace stylemap
