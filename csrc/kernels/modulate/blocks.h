// How the CPU kernels of modulate cut a tensor into tasks. The blocks depend on the shape alone, so
// that the results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/modulate/modulate.h"

namespace stylemap {

// Where all elements of a statistic in a sample are one run of memory, blocks are parts of runs,
// small enough to be read twice from the first cache. Otherwise (channels_last with several
// statistics) blocks are pixels with all their channels, and each channel has partial results of
// its own.
struct Blocks {
  static constexpr int64_t kRunBlock = 8192;
  static constexpr int64_t kPixelBlock = 32768;
  // A channel's sum is one chain of float32 additions per block: 2e-6 off after 4096 of them.
  static constexpr int64_t kMostPixels = 512;

  bool runs;
  int64_t units;      // runs, or samples
  int64_t length;     // elements of a run, or pixels of a sample
  int64_t block;      // elements, or pixels, of a block
  int64_t per_unit;   // blocks of a unit
  int64_t per_block;  // partial results of a block: 1, or channels

  explicit Blocks(const NormShape& s) : Blocks(s, !s.channels_last || s.groups == 1) {}

  // Blocks of pixels even where runs are possible.
  static Blocks of_pixels(const NormShape& s) { return Blocks(s, false); }

  int64_t count() const { return units * per_unit; }
  int64_t cost(const NormShape& s) const { return runs ? block : block * s.channels; }
  int64_t unit(int64_t task) const { return task / per_unit; }
  int64_t begin(int64_t task) const { return task % per_unit * block; }
  int64_t size(int64_t task) const { return std::min(block, length - begin(task)); }

  // Calls join(partial) for all partial results of statistic s, in a fixed order.
  template <class Join>
  void for_each_partial(const NormShape& shape, int64_t s, const Join& join) const {
    const bool across = shape.groups == 0;
    const int64_t per_sample = across ? shape.channels : shape.groups;
    const int64_t channels = runs ? 1 : shape.channels / per_sample;
    const int64_t first_channel = runs ? 0 : s % per_sample * channels;
    for (int64_t n = across ? 0 : s / per_sample; n < (across ? shape.batch : s / per_sample + 1);
         ++n) {
      const int64_t unit = runs ? n * per_sample + s % per_sample : n;
      for (int64_t b = unit * per_unit; b < (unit + 1) * per_unit; ++b)
        for (int64_t c = first_channel; c < first_channel + channels; ++c) join(b * per_block + c);
    }
  }

 private:
  Blocks(const NormShape& s, bool as_runs) : runs(as_runs) {
    const int64_t per_sample = s.groups == 0 ? s.channels : s.groups;
    units = runs ? s.batch * per_sample : s.batch;
    length = runs ? s.channels / per_sample * s.pixels : s.pixels;
    block =
        runs ? kRunBlock
             : std::clamp<int64_t>(kPixelBlock / std::max<int64_t>(1, s.channels), 1, kMostPixels);
    per_unit = (length + block - 1) / block;
    per_block = runs ? 1 : s.channels;
  }
};

// The statistic of a run.
inline int64_t run_statistic(const NormShape& s, int64_t run) {
  return s.groups == 0 ? run % s.channels : run;
}

}  // namespace stylemap
