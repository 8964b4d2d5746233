#include "kernels/bias_act/bias_act_cuda.h"
#include "kernels/common/launch.h"
#include "kernels/common/pack.h"

// One 16-byte read and write per thread: the arithmetic hides behind the memory, so neither a
// larger unroll nor persistent blocks has anything to win beyond the bytes in flight of full
// occupancy (2048 threads x 16 bytes per multiprocessor, about what latency x bandwidth asks for).

namespace stylemap {
namespace {

constexpr int kThreads = 256;

enum class Channels { kPerPack, kWithinPack };

// Pack p covers elements [p * N, p * N + N): one channel all along, or N consecutive channels.
template <class T, int N, Channels kChannels, class Index>
__global__ void __launch_bounds__(kThreads)
    forward(const T* __restrict__ x, const T* __restrict__ bias, T* y, Index packs,
            Index packs_per_row, Index channels, Compute<T> negative_slope, Compute<T> gain) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const Index pack = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (pack >= packs) return;
  C value[N];
  load_pack<N>(x + pack * N, value);
  if constexpr (kChannels == Channels::kPerPack) {
    const C b = bias ? load(bias[pack / packs_per_row % channels]) : C(0);
#pragma unroll
    for (int i = 0; i < N; ++i) value[i] = bias_act_element(value[i], b, negative_slope, gain);
  } else {
    C b[N] = {};
    if (bias) load_pack<N>(bias + pack * N % channels, b);
#pragma unroll
    for (int i = 0; i < N; ++i) value[i] = bias_act_element(value[i], b[i], negative_slope, gain);
  }
  store_pack<N>(y + pack * N, value);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    backward(const T* __restrict__ grad, const T* __restrict__ y, T* dx, int64_t packs,
             Compute<T> negative_slope, Compute<T> gain) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const int64_t pack = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (pack >= packs) return;
  C g[N], out[N];
  load_pack<N>(grad + pack * N, g);
  load_pack<N>(y + pack * N, out);
#pragma unroll
  for (int i = 0; i < N; ++i) g[i] = bias_act_backward_element(g[i], out[i], negative_slope, gain);
  store_pack<N>(dx + pack * N, g);
}

template <class T, int N, Channels kChannels>
cudaError_t launch_forward(const BiasActParams& p, int64_t count, cudaStream_t stream) {
  const auto with_index = [&](auto index) {
    using Index = decltype(index);
    return launch_elements<kThreads>(forward<T, N, kChannels, Index>, count / N, stream,
                                     static_cast<const T*>(p.x), static_cast<const T*>(p.bias),
                                     static_cast<T*>(p.y), count / N, p.inner / N, p.channels,
                                     p.negative_slope, p.gain);
  };
  return count <= kIndexLimit ? with_index(uint32_t{}) : with_index(uint64_t{});
}

}  // namespace

cudaError_t bias_act_cuda(const BiasActParams& p, cudaStream_t stream) {
  const int64_t count = p.outer * p.channels * p.inner;
  cudaError_t error = cudaSuccess;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    const bool aligned = aligned_to_pack(p.x, p.y, p.inner == 1 ? p.bias : nullptr);
    if (aligned && p.inner % N == 0)
      error = launch_forward<T, N, Channels::kPerPack>(p, count, stream);
    else if (aligned && p.inner == 1 && p.channels % N == 0)
      error = launch_forward<T, N, Channels::kWithinPack>(p, count, stream);
    else
      error = launch_forward<T, 1, Channels::kPerPack>(p, count, stream);
  });
  return error;
}

cudaError_t bias_act_backward_cuda(const BiasActBackwardParams& p, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto with_pack = [&](auto size) {
      constexpr int N = decltype(size)::value;
      error = launch_elements<kThreads>(
          backward<T, N>, p.count / N, stream, static_cast<const T*>(p.grad),
          static_cast<const T*>(p.y), static_cast<T*>(p.dx), p.count / N, p.negative_slope, p.gain);
    };
    if (aligned_to_pack(p.grad, p.y, p.dx) && p.count % kPack<T> == 0)
      with_pack(std::integral_constant<int, kPack<T>>{});
    else
      with_pack(std::integral_constant<int, 1>{});
  });
  return error;
}

}  // namespace stylemap
