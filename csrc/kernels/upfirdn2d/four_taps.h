// The fast case of upfirdn2d: a 4 x 4 filter, and a factor 1 or 2 of either kind.
#pragma once

#include "kernels/bias_act/bias_act.h"
#include "kernels/common/launch.h"
#include "kernels/upfirdn2d/upfirdn2d.h"

namespace stylemap {

// How `count` consecutive outputs along an axis, the first of them in phase, take their inputs:
// output r is the sum over m < kTerms of tap(r, m) * input[first(r) + m].
template <int kUp, int kDown>
struct Resample {
  static_assert((kUp == 1 || kUp == 2) && (kDown == 1 || kDown == 2) && kUp * kDown <= 2);
  static constexpr int kTerms = 4 / kUp;
  static SM_HOST_DEVICE constexpr int first(int r) { return kUp == 2 ? (r + 1) / 2 : r * kDown; }
  // The outputs r with first(r) = input are kOutputs from output(input) on, or none.
  static constexpr int kOutputs = kUp;
  static SM_HOST_DEVICE constexpr bool has_output(int input) { return input % kDown == 0; }
  static SM_HOST_DEVICE constexpr int output(int input) {
    return kUp == 2 ? 2 * input - 1 : input / kDown;
  }
  static SM_HOST_DEVICE constexpr int tap(int r, int m) { return kUp == 2 ? r % 2 + 2 * m : m; }
  static SM_HOST_DEVICE constexpr int inputs(int count) { return first(count - 1) + kTerms; }
  // Outputs before output 0 that make the first one's phase 0; and the input where it begins.
  static SM_HOST_DEVICE int lead(int64_t pad) { return kUp == 2 ? static_cast<int>(pad & 1) : 0; }
  static SM_HOST_DEVICE int64_t input(int64_t output, int64_t pad) {
    return kUp == 2 ? (output - pad) / 2 : output * kDown - pad;
  }
};

// The filter in the order of correlation, and its factors where it is an outer product.
template <class C>
struct FourTaps {
  C tap[4][4];
  C vertical[4];
  C horizontal[4];
  bool separable;
};

template <class C>
__device__ inline void load_taps(const Upfirdn2dParams& p, FourTaps<C>& taps) {
  const C* filter = static_cast<const C*>(p.filter);
  C row[4] = {}, column[4] = {}, total = 0, largest = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const C tap = filter[p.flip_filter ? 4 * i + j : 15 - 4 * i - j];
      taps.tap[i][j] = tap;
      row[i] += tap;
      column[j] += tap;
      total += tap;
      largest = tap > largest ? tap : -tap > largest ? -tap : largest;
    }
  // A filter of sum zero is left to the general sum: its factors would be lost in rounding.
  bool separable = total > largest / 4 || -total > largest / 4;
  const C tolerance = largest * (sizeof(C) == 8 ? C(1e-15) : C(2e-7));
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    taps.vertical[i] = row[i];
    taps.horizontal[i] = separable ? column[i] / total : C(0);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const C error = taps.tap[i][j] - taps.vertical[i] * taps.horizontal[j];
      separable = separable && error <= tolerance && -error <= tolerance;
    }
  taps.separable = separable;
}

inline bool has_four_taps(const Upfirdn2dParams& p) {
  return p.filter_height == 4 && p.filter_width == 4 && p.up <= 2 && p.down <= 2 &&
         p.up * p.down <= 2;
}

// Calls function(Resample<up, down>) for the parameters' factors.
template <class Function>
cudaError_t with_resample(const Upfirdn2dParams& p, const Function& function) {
  if (p.up == 2) return function(Resample<2, 1>{});
  if (p.down == 2) return function(Resample<1, 2>{});
  return function(Resample<1, 1>{});
}

}  // namespace stylemap
