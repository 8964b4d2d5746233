// 16-byte accesses: the widest a thread can make, and what it takes to reach the memory's
// bandwidth.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"
#include "kernels/common/moments.h"

namespace stylemap {

// Elements of type T in 16 bytes. float64 is there for gradcheck, and goes element by element.
template <class T>
constexpr int kPack = std::is_same_v<T, double> ? 1 : 16 / sizeof(T);

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

// N elements from `from`, which is aligned to N * sizeof(T) bytes.
template <int N, class T>
SM_HOST_DEVICE void load_pack(const T* from, Compute<T> (&to)[N]) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = load(pack.value[i]);
}

template <int N, class T>
SM_HOST_DEVICE void store_pack(T* to, const Compute<T> (&from)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) store(pack.value[i], from[i]);
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Of a pack in memory, that is of values as they were rounded: the mean first, then the deviations.
template <int N, class T>
SM_HOST_DEVICE Moments<Compute<T>> moments_of_pack(const T* from) {
  using C = Compute<T>;
  C value[N], mean = 0, m2 = 0;
  load_pack<N>(from, value);
#pragma unroll
  for (int i = 0; i < N; ++i) mean += value[i] / N;
#pragma unroll
  for (int i = 0; i < N; ++i) m2 += (value[i] - mean) * (value[i] - mean);
  return {C(N), mean, m2};
}

template <class... Pointers>
bool aligned_to_pack(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) | ...) & 15) == 0;
}

}  // namespace stylemap
