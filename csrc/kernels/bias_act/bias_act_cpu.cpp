#include "kernels/bias_act/bias_act.h"

#include <algorithm>
#include <vector>

#include "kernels/common/parallel.h"

namespace stylemap {
namespace {

template <class T>
struct Forward {
  const T* x;
  const Compute<T>* bias;  // [period]
  T* y;
  int64_t period;  // elements (inner == 1) or rows after which the channels repeat
  int64_t inner;
  Compute<T> negative_slope;
  Compute<T> gain;
};

template <class T>
struct Backward {
  const T* grad;
  const T* y;
  T* dx;
  Compute<T> negative_slope;
  Compute<T> gain;
};

template <class T>
SM_INLINE void planes(const Forward<T>& f, int64_t begin, int64_t end) {
  for (int64_t at = begin; at < end;) {
    const int64_t row = at / f.inner;
    const int64_t stop = std::min(end, (row + 1) * f.inner);
    const Compute<T> bias = f.bias[row % f.period];
    const T* x = f.x;
    T* y = f.y;
    const Compute<T> slope = f.negative_slope, gain = f.gain;
#pragma omp simd
    for (int64_t i = at; i < stop; ++i)
      store(y[i], bias_act_element(load(x[i]), bias, slope, gain));
    at = stop;
  }
}

template <class T>
SM_INLINE void pixels(const Forward<T>& f, int64_t begin, int64_t end) {
  for (int64_t at = begin; at < end;) {
    const int64_t first = at % f.period;
    const int64_t count = std::min(end - at, f.period - first);
    const T* x = f.x + at;
    T* y = f.y + at;
    const Compute<T>* bias = f.bias + first;
    const Compute<T> slope = f.negative_slope, gain = f.gain;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i)
      store(y[i], bias_act_element(load(x[i]), bias[i], slope, gain));
    at += count;
  }
}

template <class T>
SM_INLINE void elements(const Backward<T>& b, int64_t begin, int64_t end) {
  const T* grad = b.grad;
  const T* y = b.y;
  T* dx = b.dx;
  const Compute<T> slope = b.negative_slope, gain = b.gain;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i)
    store(dx[i], bias_act_backward_element(load(grad[i]), load(y[i]), slope, gain));
}

#define SM_DEFINE(T)                                                          \
  SM_CLONES void forward(const Forward<T>& f, int64_t begin, int64_t end) {   \
    f.inner == 1 ? pixels(f, begin, end) : planes(f, begin, end);             \
  }                                                                           \
  SM_CLONES void backward(const Backward<T>& b, int64_t begin, int64_t end) { \
    elements(b, begin, end);                                                  \
  }
SM_FOR_EACH_DTYPE(SM_DEFINE)
#undef SM_DEFINE

// The biases in compute type; for pixels repeated until the inner loop is long enough to vectorise
// (three channels would otherwise be three scalar steps per pixel).
template <class T>
std::vector<Compute<T>> expand_bias(const BiasActParams& p) {
  constexpr int64_t kLongEnough = 512;
  const int64_t repeats = p.inner == 1 ? 1 + kLongEnough / p.channels : 1;
  std::vector<Compute<T>> bias(static_cast<size_t>(p.channels * repeats), Compute<T>(0));
  if (p.bias == nullptr) return bias;
  const T* source = static_cast<const T*>(p.bias);
  for (size_t i = 0; i < bias.size(); ++i)
    bias[i] = load(source[i % static_cast<size_t>(p.channels)]);
  return bias;
}

}  // namespace

void bias_act_cpu(const BiasActParams& p) {
  const int64_t count = p.outer * p.channels * p.inner;
  if (count == 0) return;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto bias = expand_bias<T>(p);
    const Forward<T> f{
        static_cast<const T*>(p.x),        bias.data(), static_cast<T*>(p.y),
        static_cast<int64_t>(bias.size()), p.inner,     static_cast<Compute<T>>(p.negative_slope),
        static_cast<Compute<T>>(p.gain)};
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) { forward(f, begin, end); });
  });
}

void bias_act_backward_cpu(const BiasActBackwardParams& p) {
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Backward<T> b{static_cast<const T*>(p.grad), static_cast<const T*>(p.y),
                        static_cast<T*>(p.dx), static_cast<Compute<T>>(p.negative_slope),
                        static_cast<Compute<T>>(p.gain)};
    parallel_for(p.count, kGrain, [&](int64_t begin, int64_t end) { backward(b, begin, end); });
  });
}

}  // namespace stylemap
