#include "kernels/modulate/elements.h"
#include "kernels/modulate/modulate_cuda.h"

namespace stylemap {
namespace {

template <class T, int N, Statistics kStatistics, class Index>
__global__ void __launch_bounds__(kElementThreads)
    modulate(const ModulateParams p, ElementIndex<Index> index, int64_t packs) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const int64_t pack = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (pack >= packs) return;
  const auto place = index(static_cast<Index>(pack * N));
  C x[N], gamma[N], beta[N];
  load_pack<N>(static_cast<const T*>(p.x) + pack * N, x);
  load_pack<N>(static_cast<const T*>(p.gamma) + place.row * p.gamma_stride + place.within, gamma);
  load_pack<N>(static_cast<const T*>(p.beta) + place.row * p.beta_stride + place.within, beta);
  const C* mean = static_cast<const C*>(p.mean) + place.statistic;
  const C* rstd = static_cast<const C*>(p.rstd) + place.statistic;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int s = kStatistics == Statistics::kShared ? 0 : i;
    x[i] = modulate_element(x[i], gamma[i], beta[i], mean[s], rstd[s]);
  }
  store_pack<N>(static_cast<T*>(p.y) + pack * N, x);
}

}  // namespace

cudaError_t modulate_cuda(const ModulateParams& p, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  dispatch(p.shape.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool aligned = aligned_to_pack(p.x, p.gamma, p.beta, p.y) &&
                         p.gamma_stride % kPack<T> == 0 && p.beta_stride % kPack<T> == 0;
    with_elements<T>(p.shape, aligned, [&](auto pack, auto statistics, auto index) {
      constexpr int N = decltype(pack)::value;
      const int64_t packs = p.shape.batch * p.shape.channels * p.shape.pixels / N;
      const auto kernel = modulate<T, N, decltype(statistics)::value, decltype(index.pixels)>;
      error = launch_elements<kElementThreads>(kernel, packs, stream, p, index, packs);
    });
  });
  return error;
}

}  // namespace stylemap
