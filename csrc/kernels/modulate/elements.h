// The elementwise halves of modulate and its backward: where an element's statistic and modulation
// are.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/common/pack.h"
#include "kernels/modulate/modulate.h"

namespace stylemap {

constexpr int kElementThreads = 256;

// What the elements of a pack have in common: all of one statistic, or consecutive statistics.
enum class Statistics { kShared, kConsecutive };

// Index is uint32_t where the elements can be counted in it: a division takes a fifth of the time.
template <class Index>
struct ElementIndex {
  Index row_length;  // elements of a sample, or with channels_last of a pixel
  Index pixels;
  Index groups;
  Index group_channels;
  bool channels_last;

  explicit ElementIndex(const NormShape& s)
      : row_length(static_cast<Index>(s.channels_last ? s.channels : s.channels * s.pixels)),
        pixels(static_cast<Index>(s.pixels)),
        groups(static_cast<Index>(s.groups)),
        group_channels(static_cast<Index>(s.groups == 0 ? 1 : s.channels / s.groups)),
        channels_last(s.channels_last) {}

  struct Place {
    int64_t row;
    int64_t within;
    int64_t statistic;
  };

  __device__ Place operator()(Index element) const {
    const Index row = element / row_length, within = element % row_length;
    const Index channel = channels_last ? within : within / pixels;
    const Index sample = channels_last ? row / pixels : row;
    const Index statistic = groups == 0 ? channel : sample * groups + channel / group_channels;
    return {row, within, statistic};
  }
};

// How the statistics of aligned packs of N elements lie, or nothing where they straddle.
inline bool packs_suit(const NormShape& s, int n, Statistics& statistics) {
  statistics = Statistics::kShared;
  if (!s.channels_last) return (s.groups == 1 ? s.channels * s.pixels : s.pixels) % n == 0;
  if (s.channels % n != 0) return false;
  if (s.groups == 1 || (s.groups > 1 && s.channels / s.groups % n == 0)) return true;
  statistics = Statistics::kConsecutive;
  return s.groups == 0 || s.groups == s.channels;
}

// Calls function(pack size, Statistics constant, index) for the widest access possible.
template <class T, class Function>
void with_elements(const NormShape& s, bool aligned, const Function& function) {
  const auto with_index = [&](auto pack, auto statistics) {
    if (s.batch * s.channels * s.pixels <= kIndexLimit)
      function(pack, statistics, ElementIndex<uint32_t>(s));
    else
      function(pack, statistics, ElementIndex<int64_t>(s));
  };
  using Whole = std::integral_constant<int, kPack<T>>;
  using Single = std::integral_constant<int, 1>;
  using Shared = std::integral_constant<Statistics, Statistics::kShared>;
  using Consecutive = std::integral_constant<Statistics, Statistics::kConsecutive>;
  Statistics statistics;
  if (!aligned || !packs_suit(s, kPack<T>, statistics))
    with_index(Single{}, Shared{});
  else if (statistics == Statistics::kShared)
    with_index(Whole{}, Shared{});
  else
    with_index(Whole{}, Consecutive{});
}

}  // namespace stylemap
