// The loops of upfirdn2d on the CPU: one row at a time, in compute type. All are inlined into
// functions compiled for several instruction sets.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bias_act/bias_act.h"
#include "kernels/upfirdn2d/upfirdn2d.h"

namespace stylemap {

template <class T>
SM_INLINE void convert_row(const T* __restrict from, Compute<T>* __restrict to, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = load(from[i]);
}

// How an axis is resampled.
struct Axis {
  int64_t in;
  int64_t out;
  int64_t up;
  int64_t down;
  int64_t pad;
  int64_t taps;
};

// One row of one channel, or with kAdd added to y. x starts at the input column of the first
// output's first tap and is padded with zeros, so that no tap needs a bounds check.
template <bool kAdd, class C>
SM_INLINE void filter_row(const C* __restrict x, const C* __restrict tap, C* __restrict y, Axis w) {
  if (w.up == 1 && w.taps == 4 && w.down <= 2) {
    const C a = tap[0], b = tap[1], c = tap[2], d = tap[3];
    if (w.down == 1) {
#pragma omp simd
      for (int64_t o = 0; o < w.out; ++o)
        y[o] = (kAdd ? y[o] : C(0)) + a * x[o] + b * x[o + 1] + c * x[o + 2] + d * x[o + 3];
    } else {
#pragma omp simd
      for (int64_t o = 0; o < w.out; ++o)
        y[o] = (kAdd ? y[o] : C(0)) + a * x[2 * o] + b * x[2 * o + 1] + c * x[2 * o + 2] +
               d * x[2 * o + 3];
    }
  } else if (w.up == 2 && w.down == 1 && w.taps == 4) {
    // Two phases of two taps; the second starts at the input column of the first or at the next.
    const TapRange even = unclipped_taps(0, 2, 1, w.pad, 4);
    const TapRange odd = unclipped_taps(1, 2, 1, w.pad, 4);
    const C a = tap[even.first_tap], b = tap[even.first_tap + 2];
    const C c = tap[odd.first_tap], d = tap[odd.first_tap + 2];
    const C* __restrict z = x + (odd.first_input - even.first_input);
    const int64_t pairs = w.out / 2;
#pragma omp simd
    for (int64_t m = 0; m < pairs; ++m) {
      y[2 * m] = (kAdd ? y[2 * m] : C(0)) + a * x[m] + b * x[m + 1];
      y[2 * m + 1] = (kAdd ? y[2 * m + 1] : C(0)) + c * z[m] + d * z[m + 1];
    }
    if (w.out % 2) {
      const C last = a * x[pairs] + b * x[pairs + 1];
      y[w.out - 1] = kAdd ? y[w.out - 1] + last : last;
    }
  } else if (w.up == 1) {
    for (int64_t t = 0; t < w.taps; ++t) {
      const C a = tap[t];
      const bool add = kAdd || t > 0;
#pragma omp simd
      for (int64_t o = 0; o < w.out; ++o) y[o] = (add ? y[o] : C(0)) + a * x[o * w.down + t];
    }
  } else {
    const int64_t first = unclipped_taps(0, w.up, w.down, w.pad, w.taps).first_input;
    for (int64_t o = 0; o < w.out; ++o) {
      const TapRange range = unclipped_taps(o, w.up, w.down, w.pad, w.taps);
      C sum = kAdd ? y[o] : C(0);
      for (int64_t k = 0; k < range.count; ++k)
        sum += tap[range.first_tap + k * w.up] * x[range.first_input - first + k];
      y[o] = sum;
    }
  }
}

// One row of pixels of `lanes` channels, or with kAdd added to y.
template <bool kAdd, class C>
SM_INLINE void filter_pixels(const C* __restrict x, const C* __restrict tap, C* __restrict y,
                             int64_t lanes, Axis w) {
  for (int64_t o = 0; o < w.out; ++o, y += lanes) {
    const TapRange range = clipped_taps(o, w.up, w.down, w.pad, w.taps, w.in);
    const C* __restrict from = x + range.first_input * lanes;
    const C* __restrict weight = tap + range.first_tap;
    if (range.count == 4) {
      const C a = weight[0], b = weight[w.up], c = weight[2 * w.up], d = weight[3 * w.up];
#pragma omp simd
      for (int64_t i = 0; i < lanes; ++i)
        y[i] = (kAdd ? y[i] : C(0)) + a * from[i] + b * from[i + lanes] + c * from[i + 2 * lanes] +
               d * from[i + 3 * lanes];
    } else if (range.count == 2) {
      const C a = weight[0], b = weight[w.up];
#pragma omp simd
      for (int64_t i = 0; i < lanes; ++i)
        y[i] = (kAdd ? y[i] : C(0)) + a * from[i] + b * from[i + lanes];
    } else {
      if (!kAdd) std::fill(y, y + lanes, C(0));
      for (int64_t k = 0; k < range.count; ++k) {
        const C a = weight[k * w.up];
#pragma omp simd
        for (int64_t i = 0; i < lanes; ++i) y[i] += a * from[k * lanes + i];
      }
    }
  }
}

// bias_act at the end of the vertical pass.
template <class C>
struct Epilogue {
  const C* bias;  // [length]; null for no activation at all
  C negative_slope;
  C gain;
};

template <bool kActivate, class T, class C>
SM_INLINE void emit(T& y, C sum, int64_t i, Epilogue<C> e) {
  if constexpr (kActivate) {
    store(y, bias_act_element(sum, e.bias[i], e.negative_slope, e.gain));
  } else {
    store(y, sum);
  }
}

// y = sum of weight[k] * source[k] over rows of `length`, then the epilogue. `total` is scratch.
template <bool kActivate, class T, class C>
SM_INLINE void sum_rows(const C* const* source, const C* weight, int64_t count, C* __restrict total,
                        T* __restrict y, int64_t length, Epilogue<C> e) {
  if (count == 4) {
    const C* __restrict p = source[0];
    const C* __restrict q = source[1];
    const C* __restrict r = source[2];
    const C* __restrict s = source[3];
    const C a = weight[0], b = weight[1], c = weight[2], d = weight[3];
#pragma omp simd
    for (int64_t i = 0; i < length; ++i)
      emit<kActivate>(y[i], a * p[i] + b * q[i] + c * r[i] + d * s[i], i, e);
  } else if (count == 2) {
    const C* __restrict p = source[0];
    const C* __restrict q = source[1];
    const C a = weight[0], b = weight[1];
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) emit<kActivate>(y[i], a * p[i] + b * q[i], i, e);
  } else {
    std::fill(total, total + length, C(0));
    for (int64_t k = 0; k < count; ++k) {
      const C* __restrict p = source[k];
      const C a = weight[k];
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) total[i] += a * p[i];
    }
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) emit<kActivate>(y[i], total[i], i, e);
  }
}

}  // namespace stylemap
