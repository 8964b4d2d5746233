#include "kernels/blend/blend.h"

#include <algorithm>

#include "kernels/common/parallel.h"

namespace stylemap {
namespace {

// A task is one row of one channel, or one row of pixels where channels are last.
template <class Params>
struct Rows {
  explicit Rows(const Params& p)
      : planes(p.channels_last ? 1 : p.channels),
        lanes(p.channels_last ? p.channels : 1),
        row(p.width * lanes),
        plane(p.height * row),
        count(p.batch * planes * p.height) {}
  int64_t planes;  // of a sample
  int64_t lanes;   // channels of a pixel
  int64_t row;     // elements of a row
  int64_t plane;   // elements of a plane
  int64_t count;   // rows altogether
};

// on ? a : b for a bool's byte. A branch, and even the type bool, would keep the loop around it
// from being vectorised.
template <class C>
SM_INLINE C choose(uint8_t on, C a, C b) {
  using Bits = std::conditional_t<sizeof(C) == 8, uint64_t, uint32_t>;
  const Bits mask = Bits(0) - static_cast<Bits>(on);
  return bits_as<C>((bits_as<Bits>(a) & mask) | (bits_as<Bits>(b) & ~mask));
}

template <class T>
SM_INLINE void mix_cells(const T* code, const T* reference, const bool* mask, T* y, int64_t cells,
                         Compute<T> weight) {
  using C = Compute<T>;
  const auto* on = reinterpret_cast<const uint8_t*>(mask);
  // Without the hint a vector holds 64 of the mask's bytes, more than most rows.
#pragma omp simd simdlen(16)
  for (int64_t i = 0; i < cells; ++i) {
    const C c = load(code[i]);
    const C mixed = blend_element(c, load(reference[i]), weight);
    store(y[i], choose(on[i], mixed, c));
  }
}

template <class T>
SM_INLINE void mix_pixel(const T* code, const T* reference, T* y, int64_t lanes,
                         Compute<T> weight) {
#pragma omp simd
  for (int64_t i = 0; i < lanes; ++i)
    store(y[i], blend_element(load(code[i]), load(reference[i]), weight));
}

template <class T>
SM_INLINE void blend_row(const BlendParams& p, const Rows<BlendParams>& r, int64_t task) {
  const int64_t row = task % p.height, plane = task / p.height % r.planes;
  const int64_t sample = task / p.height / r.planes;
  const int64_t at = plane * r.plane + row * r.row;
  const T* code = static_cast<const T*>(p.code) + sample * p.code_stride + at;
  T* y = static_cast<T*>(p.y) + sample * r.planes * r.plane + at;
  const Overlap rows = overlap(p.dy, p.height), cells = overlap(p.dx, p.width);
  if (p.channels_last || row < rows.begin || row >= rows.end) {
    std::copy(code, code + r.row, y);
    if (row < rows.begin || row >= rows.end) return;
  } else {
    std::copy(code, code + cells.begin, y);
    std::copy(code + cells.end, code + p.width, y + cells.end);
  }
  const T* reference = static_cast<const T*>(p.reference) + sample * p.reference_stride + at -
                       p.dy * r.row + (cells.begin - p.dx) * r.lanes;
  const bool* mask = p.mask + sample * p.mask_stride + (row - p.dy) * p.width + cells.begin - p.dx;
  const auto weight = static_cast<const Compute<T>*>(p.weight)[sample * p.weight_stride];
  const int64_t first = cells.begin * r.lanes, count = cells.end - cells.begin;
  if (!p.channels_last) {
    mix_cells(code + first, reference, mask, y + first, count, weight);
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    if (mask[i])
      mix_pixel(code + first + i * r.lanes, reference + i * r.lanes, y + first + i * r.lanes,
                r.lanes, weight);
}

// dcode of a row of the frame. The mask reaches it shifted.
template <class T>
SM_INLINE void dcode_row(const BlendBackwardParams& p, const Rows<BlendBackwardParams>& r,
                         int64_t sample, int64_t plane, int64_t row) {
  using C = Compute<T>;
  const int64_t at = (sample * r.planes + plane) * r.plane + row * r.row;
  const T* grad = static_cast<const T*>(p.grad) + at;
  T* dcode = static_cast<T*>(p.dcode) + at;
  std::copy(grad, grad + r.row, dcode);
  const Overlap rows = overlap(p.dy, p.height), cells = overlap(p.dx, p.width);
  if (row < rows.begin || row >= rows.end) return;
  const bool* mask = p.mask + sample * p.mask_stride + (row - p.dy) * p.width - p.dx;
  const C weight = static_cast<const C*>(p.weight)[sample * p.weight_stride];
  for (int64_t x = cells.begin; x < cells.end; ++x) {
    if (!mask[x]) continue;
    for (int64_t i = x * r.lanes; i < (x + 1) * r.lanes; ++i) {
      const C g = load(grad[i]);
      store(dcode[i], g - weight * g);
    }
  }
}

// dreference of a row of the reference: what its row of the frame, dy below, passes back.
template <class T>
SM_INLINE void dreference_row(const BlendBackwardParams& p, const Rows<BlendBackwardParams>& r,
                              int64_t sample, int64_t plane, int64_t row) {
  using C = Compute<T>;
  const int64_t at = (sample * r.planes + plane) * r.plane + row * r.row;
  T* dreference = static_cast<T*>(p.dreference) + at;
  std::fill(dreference, dreference + r.row, T{});
  const Overlap rows = overlap(-p.dy, p.height), cells = overlap(-p.dx, p.width);
  if (row < rows.begin || row >= rows.end) return;
  const T* grad = static_cast<const T*>(p.grad) + at + p.dy * r.row + p.dx * r.lanes;
  const bool* mask = p.mask + sample * p.mask_stride + row * p.width;
  const C weight = static_cast<const C*>(p.weight)[sample * p.weight_stride];
  for (int64_t x = cells.begin; x < cells.end; ++x) {
    if (!mask[x]) continue;
    for (int64_t i = x * r.lanes; i < (x + 1) * r.lanes; ++i)
      store(dreference[i], weight * load(grad[i]));
  }
}

template <class T>
SM_INLINE void backward_row(const BlendBackwardParams& p, const Rows<BlendBackwardParams>& r,
                            int64_t task) {
  const int64_t row = task % p.height, plane = task / p.height % r.planes;
  const int64_t sample = task / p.height / r.planes;
  dcode_row<T>(p, r, sample, plane, row);
  dreference_row<T>(p, r, sample, plane, row);
}

#define SM_DEFINE(T)                                                                      \
  SM_CLONES void run(TypeTag<T>, const BlendParams& p, const Rows<BlendParams>& rows,     \
                     int64_t begin, int64_t end) {                                        \
    for (int64_t task = begin; task < end; ++task) blend_row<T>(p, rows, task);           \
  }                                                                                       \
  SM_CLONES void run(TypeTag<T>, const BlendBackwardParams& p,                            \
                     const Rows<BlendBackwardParams>& rows, int64_t begin, int64_t end) { \
    for (int64_t task = begin; task < end; ++task) backward_row<T>(p, rows, task);        \
  }
SM_FOR_EACH_DTYPE(SM_DEFINE)
#undef SM_DEFINE

template <class Params>
void run_rows(const Params& p) {
  const Rows<Params> rows(p);
  dispatch(p.dtype, [&](auto tag) {
    parallel_tasks(rows.count, rows.row,
                   [&](int64_t begin, int64_t end) { run(tag, p, rows, begin, end); });
  });
}

}  // namespace

void blend_cpu(const BlendParams& p) { run_rows(p); }

void blend_backward_cpu(const BlendBackwardParams& p) { run_rows(p); }

}  // namespace stylemap
