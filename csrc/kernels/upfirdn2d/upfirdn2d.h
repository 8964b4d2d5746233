// upfirdn2d: insert up-1 zeros after every sample, pad (a negative padding crops), convolve with a
// filter, keep every down-th sample; then, if asked for, bias_act in the same pass.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace stylemap {

struct Upfirdn2dParams {
  DType dtype;
  bool channels_last;
  const void* x;  // [batch, channels, in_height, in_width]; channels last: [.., .., .., channels]
  const void* filter;  // [filter_height, filter_width], float32 (float64 for float64 x)
  void* y;             // [batch, channels, out_height, out_width], laid out as x
  int64_t batch;
  int64_t channels;
  int64_t in_height;
  int64_t in_width;
  int64_t out_height;
  int64_t out_width;
  int64_t filter_height;
  int64_t filter_width;
  int64_t up;
  int64_t down;
  int64_t pad_left;
  int64_t pad_top;
  bool flip_filter;  // correlate instead of convolving
  // y = bias_act(y, bias) where activate is set.
  bool activate;
  const void* bias;  // [channels], or null
  double negative_slope;
  double gain;
};

void upfirdn2d_cpu(const Upfirdn2dParams& params);

// Length of the output along one axis; negative where the filter does not fit.
SM_HOST_DEVICE int64_t upfirdn_size(int64_t length, int64_t up, int64_t down, int64_t pad_before,
                                    int64_t pad_after, int64_t taps) {
  const int64_t slack = up * length + pad_before + pad_after - taps;
  return slack < 0 ? -1 : slack / down + 1;
}

// The taps that meet a sample: output o is the sum over k < count of
// tap[first_tap + k * up] * x[first_input + k], for taps in the order of correlation.
struct TapRange {
  int64_t first_tap;
  int64_t first_input;
  int64_t count;
};

// The taps of output o that fall on samples rather than inserted zeros, as if the input had no end.
SM_HOST_DEVICE TapRange unclipped_taps(int64_t o, int64_t up, int64_t down, int64_t pad_before,
                                       int64_t taps) {
  const int64_t base = o * down - pad_before;
  const int64_t remainder = base % up;
  const int64_t first_tap = remainder > 0 ? up - remainder : -remainder;
  const int64_t count = first_tap < taps ? (taps - first_tap + up - 1) / up : 0;
  return {first_tap, (base + first_tap) / up, count};
}

// The same without the taps beyond the ends of an input of `length` samples.
SM_HOST_DEVICE TapRange clipped_taps(int64_t o, int64_t up, int64_t down, int64_t pad_before,
                                     int64_t taps, int64_t length) {
  TapRange range = unclipped_taps(o, up, down, pad_before, taps);
  const int64_t skip = range.first_input < 0 ? -range.first_input : 0;
  const int64_t end =
      range.first_input + range.count < length ? range.count : length - range.first_input;
  range.first_tap += skip * up;
  range.first_input += skip;
  range.count = end > skip ? end - skip : 0;
  return range;
}

}  // namespace stylemap
