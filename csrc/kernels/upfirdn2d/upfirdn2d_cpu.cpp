// Rows of the input are filtered horizontally into rows of compute type; a row of the output is a
// weighted sum of those. A separable filter shares each filtered row among the outputs that need
// it, in a ring of as many rows as one output takes. Any other filter adds up its rows of taps.
#include "kernels/upfirdn2d/upfirdn2d.h"

#include <algorithm>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/upfirdn2d/rows.h"
#include "kernels/upfirdn2d/separate.h"

namespace stylemap {
namespace {

template <class T>
struct Job {
  using C = Compute<T>;
  const Upfirdn2dParams& p;
  Axis rows;
  Axis columns;
  SeparatedFilter<C> split;
  std::vector<C> taps;  // [filter_height, filter_width] in the order of correlation
  int64_t planes = 0;   // images of `lanes` interleaved channels
  int64_t lanes = 0;
  int64_t length = 0;        // of a filtered row: out_width * lanes
  int64_t ring = 0;          // filtered rows that one output row can need
  int64_t block = 0;         // output rows of a task
  int64_t blocks = 0;        // tasks of a plane
  int64_t first_column = 0;  // input column of element 0 of a padded row
  int64_t padded = 0;        // elements of a padded row
};

template <class T>
struct Scratch {
  using C = Compute<T>;
  explicit Scratch(const Job<T>& job)
      : rows(job.ring * job.length),
        padded(std::max(job.padded, job.p.channels_last ? job.p.in_width * job.lanes : 0)),
        total(job.length),
        bias(job.p.activate ? job.length : 0),
        sources(job.ring),
        weights(job.ring) {}
  std::vector<C> rows;    // [ring, length]
  std::vector<C> padded;  // an input row in compute type, with zeros around it
  std::vector<C> total;   // [length]
  std::vector<C> bias;    // [length]
  std::vector<const C*> sources;
  std::vector<C> weights;
};

// One input row through one row of taps into y.
template <bool kAdd, class T>
SM_INLINE void horizontal(const Job<T>& job, Compute<T>* padded, const T* row,
                          const Compute<T>* tap, Compute<T>* y) {
  if (!job.p.channels_last) {
    // What lies outside the input stays the zeros that `padded` was made of.
    const int64_t begin = std::max<int64_t>(0, job.first_column);
    const int64_t end = std::min(job.columns.in, job.first_column + job.padded);
    if (end > begin) convert_row(row + begin, padded + (begin - job.first_column), end - begin);
    filter_row<kAdd>(padded, tap, y, job.columns);
  } else if constexpr (std::is_same_v<T, Compute<T>>) {
    filter_pixels<kAdd>(row, tap, y, job.lanes, job.columns);
  } else {
    convert_row(row, padded, job.columns.in * job.lanes);
    filter_pixels<kAdd>(static_cast<const Compute<T>*>(padded), tap, y, job.lanes, job.columns);
  }
}

template <class T>
SM_INLINE void vertical(const Job<T>& job, Scratch<T>& s, int64_t count, T* y) {
  using C = Compute<T>;
  const Epilogue<C> e{s.bias.data(), static_cast<C>(job.p.negative_slope),
                      static_cast<C>(job.p.gain)};
  if (job.p.activate)
    sum_rows<true>(s.sources.data(), s.weights.data(), count, s.total.data(), y, job.length, e);
  else
    sum_rows<false>(s.sources.data(), s.weights.data(), count, s.total.data(), y, job.length, e);
}

// The output rows of one task from a separable filter.
template <class T>
SM_INLINE void separable(const Job<T>& job, Scratch<T>& s, const T* x, T* y, int64_t begin,
                         int64_t end) {
  const Axis h = job.rows;
  const int64_t stride = job.columns.in * job.lanes;
  int64_t next = 0;  // the first input row that has not been filtered
  for (int64_t o = begin; o < end; ++o) {
    const TapRange range = clipped_taps(o, h.up, h.down, h.pad, h.taps, h.in);
    const int64_t stop = range.first_input + range.count;
    for (int64_t i = std::max(next, range.first_input); i < stop; ++i)
      horizontal<false>(job, s.padded.data(), x + i * stride, job.split.row.data(),
                        s.rows.data() + i % job.ring * job.length);
    next = std::max(next, stop);
    for (int64_t k = 0; k < range.count; ++k) {
      s.sources[k] = s.rows.data() + (range.first_input + k) % job.ring * job.length;
      s.weights[k] = job.split.column[range.first_tap + k * h.up];
    }
    vertical(job, s, range.count, y + o * job.length);
  }
}

// The output rows of one task from a filter that is not separable.
template <class T>
SM_INLINE void inseparable(const Job<T>& job, Scratch<T>& s, const T* x, T* y, int64_t begin,
                           int64_t end) {
  using C = Compute<T>;
  const Axis h = job.rows;
  const int64_t stride = job.columns.in * job.lanes;
  C* sum = s.rows.data();
  s.sources[0] = sum;
  s.weights[0] = C(1);
  for (int64_t o = begin; o < end; ++o) {
    const TapRange range = clipped_taps(o, h.up, h.down, h.pad, h.taps, h.in);
    std::fill(sum, sum + job.length, C(0));
    for (int64_t k = 0; k < range.count; ++k)
      horizontal<true>(job, s.padded.data(), x + (range.first_input + k) * stride,
                       job.taps.data() + (range.first_tap + k * h.up) * job.columns.taps, sum);
    vertical(job, s, 1, y + o * job.length);
  }
}

template <class T>
SM_INLINE void set_bias(const Job<T>& job, Scratch<T>& s, int64_t plane) {
  if (!job.p.activate || job.p.bias == nullptr) return;
  const T* bias = static_cast<const T*>(job.p.bias);
  const int64_t first = job.p.channels_last ? 0 : plane % job.p.channels;
  for (int64_t i = 0; i < job.length; ++i) s.bias[i] = load(bias[first + i % job.lanes]);
}

template <class T>
SM_INLINE void run_task(const Job<T>& job, Scratch<T>& s, int64_t task) {
  const int64_t plane = task / job.blocks, begin = task % job.blocks * job.block;
  const int64_t end = std::min(begin + job.block, job.rows.out);
  const T* x = static_cast<const T*>(job.p.x) + plane * job.rows.in * job.columns.in * job.lanes;
  T* y = static_cast<T*>(job.p.y) + plane * job.rows.out * job.length;
  set_bias(job, s, plane);
  if (job.split.separable)
    separable(job, s, x, y, begin, end);
  else
    inseparable(job, s, x, y, begin, end);
}

#define SM_DEFINE(T)                                                                       \
  SM_CLONES void run_tasks(const Job<T>& job, Scratch<T>& s, int64_t begin, int64_t end) { \
    for (int64_t task = begin; task < end; ++task) run_task(job, s, task);                 \
  }
SM_FOR_EACH_DTYPE(SM_DEFINE)
#undef SM_DEFINE

// Short enough for 16 tasks where the output has the rows, long enough that the rows which
// neighbouring tasks both filter do not matter.
int64_t rows_per_task(int64_t rows, int64_t planes) {
  return std::clamp<int64_t>(rows * planes / 16, 8, 64);
}

template <class T>
Job<T> plan(const Upfirdn2dParams& p) {
  using C = Compute<T>;
  const int64_t size = p.filter_height * p.filter_width;
  std::vector<C> taps(static_cast<const C*>(p.filter), static_cast<const C*>(p.filter) + size);
  if (!p.flip_filter) std::reverse(taps.begin(), taps.end());
  Job<T> job{.p = p,
             .rows = {p.in_height, p.out_height, p.up, p.down, p.pad_top, p.filter_height},
             .columns = {p.in_width, p.out_width, p.up, p.down, p.pad_left, p.filter_width},
             .split = separate(taps, p.filter_height, p.filter_width),
             .taps = taps};
  job.planes = p.channels_last ? p.batch : p.batch * p.channels;
  job.lanes = p.channels_last ? p.channels : 1;
  job.length = p.out_width * job.lanes;
  job.ring = (p.filter_height + p.up - 1) / p.up;
  job.block = rows_per_task(p.out_height, job.planes);
  job.blocks = (p.out_height + job.block - 1) / job.block;
  const TapRange last = unclipped_taps(p.out_width - 1, p.up, p.down, p.pad_left, p.filter_width);
  job.first_column = unclipped_taps(0, p.up, p.down, p.pad_left, p.filter_width).first_input;
  // One more than the last tap needs: the row of two phases reads both taps of its last pair.
  job.padded = last.first_input + last.count - job.first_column + 1;
  return job;
}

}  // namespace

void upfirdn2d_cpu(const Upfirdn2dParams& p) {
  if (p.batch * p.channels * p.out_height * p.out_width == 0) return;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Job<T> job = plan<T>(p);
    const int64_t cost = job.block * job.length * (p.filter_height + p.filter_width) / p.up;
    parallel_tasks(job.planes * job.blocks, cost, [&](int64_t begin, int64_t end) {
      Scratch<T> scratch(job);
      run_tasks(job, scratch, begin, end);
    });
  });
}

}  // namespace stylemap
