// blend: where the shifted mask is on, y = code + weight * (shifted reference - code); elsewhere
// code.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace stylemap {

// Each operand is dense ([.., channels, height, width], or [.., height, width, channels] if
// channels_last) with `*_stride` elements from a sample to the next: 0 broadcasts one to the batch.
struct BlendParams {
  DType dtype;
  bool channels_last;
  const void* code;       // [batch or 1, channels, height, width]
  const void* reference;  // [batch or 1, channels, height, width]
  const bool* mask;       // [batch or 1, height, width]
  const void* weight;     // [batch or 1], float32 (float64 for float64 code)
  void* y;                // [batch, channels, height, width]
  int64_t batch;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t code_stride;
  int64_t reference_stride;
  int64_t mask_stride;
  int64_t weight_stride;
  int64_t dx;  // cells that mask and reference move to the right
  int64_t dy;  // and down; what leaves the frame is lost
};

// The adjoint of blend in code and reference, one result per sample of the batch:
// dcode = grad - on * weight * grad; dreference = on * weight * grad, moved back by the shift.
struct BlendBackwardParams {
  DType dtype;
  bool channels_last;
  const void* grad;    // [batch, channels, height, width]
  const bool* mask;    // [batch or 1, height, width]
  const void* weight;  // [batch or 1], float32 (float64 for float64 grad)
  void* dcode;         // [batch, channels, height, width]
  void* dreference;    // [batch, channels, height, width]
  int64_t batch;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t mask_stride;
  int64_t weight_stride;
  int64_t dx;
  int64_t dy;
};

void blend_cpu(const BlendParams& params);
void blend_backward_cpu(const BlendBackwardParams& params);

template <class C>
SM_HOST_DEVICE C blend_element(C code, C reference, C weight) {
  return code + weight * (reference - code);
}

// Cells [begin, end) of a row whose source, `shift` cells before, lies in the frame too.
struct Overlap {
  int64_t begin;
  int64_t end;
};

SM_HOST_DEVICE Overlap overlap(int64_t shift, int64_t length) {
  const int64_t begin = shift > 0 ? shift : 0;
  const int64_t end = shift < 0 ? length + shift : length;
  return begin < end ? Overlap{begin, end} : Overlap{0, 0};
}

}  // namespace stylemap
