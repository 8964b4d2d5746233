#include "kernels/modulate/elements.h"
#include "kernels/modulate/join.h"
#include "kernels/modulate/modulate_cuda.h"

namespace stylemap {
namespace {

// Sums of u and u * xhat, u = grad * gamma.
template <class T>
struct SumsTask {
  using Element = T;
  using C = Compute<T>;
  using Partial = Sums<C>;
  const T* grad;
  const T* x;
  const T* gamma;
  const C* mean;
  const C* rstd;

  template <int N>
  __device__ void load(int64_t at, C (&u)[N], C (&value)[N]) const {
    C scale[N];
    load_pack<N>(grad + at, u);
    load_pack<N>(gamma + at, scale);
    load_pack<N>(x + at, value);
#pragma unroll
    for (int i = 0; i < N; ++i) u[i] *= scale[i];
  }

  template <int N, int U>
  __device__ Partial together(const int64_t (&at)[U], const bool (&valid)[U], int64_t s,
                              int64_t) const {
    Partial sums{};
    const C m = mean[s], r = rstd[s];
#pragma unroll
    for (int j = 0; j < U; ++j) {
      if (!valid[j]) continue;
      C u[N], value[N];
      load<N>(at[j], u, value);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sums.first += u[i];
        sums.second += u[i] * ((value[i] - m) * r);
      }
    }
    return sums;
  }

  template <int N, int U>
  __device__ void apart(const int64_t (&at)[U], const bool (&valid)[U], int64_t s, int64_t,
                        Partial (&sums)[N]) const {
#pragma unroll
    for (int j = 0; j < U; ++j) {
      if (!valid[j]) continue;
      C u[N], value[N];
      load<N>(at[j], u, value);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sums[i].first += u[i];
        sums[i].second += u[i] * ((value[i] - mean[s + i]) * rstd[s + i]);
      }
    }
  }
};

template <class C>
struct StoreMeans {
  Sums<C>* means;
  C count;

  __device__ void operator()(int64_t s, const Sums<C>& sums) const {
    means[s] = {sums.first / count, sums.second / count};
  }
};

template <class T, int N, Statistics kStatistics, class Index>
__global__ void __launch_bounds__(kElementThreads)
    backward(const ModulateBackwardParams p, const Sums<Compute<T>>* __restrict__ means,
             ElementIndex<Index> index, int64_t packs) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const int64_t pack = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (pack >= packs) return;
  const int64_t first = index(static_cast<Index>(pack * N)).statistic;
  C grad[N], x[N], gamma[N];
  load_pack<N>(static_cast<const T*>(p.grad) + pack * N, grad);
  load_pack<N>(static_cast<const T*>(p.x) + pack * N, x);
  load_pack<N>(static_cast<const T*>(p.gamma) + pack * N, gamma);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int64_t s = first + (kStatistics == Statistics::kShared ? 0 : i);
    const C rstd = static_cast<const C*>(p.rstd)[s];
    const C xhat = (x[i] - static_cast<const C*>(p.mean)[s]) * rstd;
    const Sums<C> mean = p.fixed_statistics ? Sums<C>{} : means[s];
    x[i] = modulate_dx_element(grad[i], xhat, gamma[i], rstd, mean.first, mean.second);
    grad[i] *= xhat;
  }
  store_pack<N>(static_cast<T*>(p.dx) + pack * N, x);
  store_pack<N>(static_cast<T*>(p.dgamma) + pack * N, grad);
}

// Calls function(type tag, pack size) for the widest access of the reduction.
template <class Function>
void with_pack(const ModulateBackwardParams& p, const Function& function) {
  dispatch(p.shape.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (aligned_to_pack(p.grad, p.x, p.gamma) && whole_packs<T>(partial_grid<T, 1>(p.shape)))
      function(tag, std::integral_constant<int, kPack<T>>{});
    else
      function(tag, std::integral_constant<int, 1>{});
  });
}

template <class T, int N>
cudaError_t reduce(const ModulateBackwardParams& p, Sums<Compute<T>>* means, cudaStream_t stream) {
  using C = Compute<T>;
  const PartialGrid grid = partial_grid<T, N>(p.shape);
  Sums<C>* partials = means + p.shape.statistics();
  const SumsTask<T> task{static_cast<const T*>(p.grad), static_cast<const T*>(p.x),
                         static_cast<const T*>(p.gamma), static_cast<const C*>(p.mean),
                         static_cast<const C*>(p.rstd)};
  const cudaError_t error = launch_partials<N>(task, grid, partials, stream);
  if (error != cudaSuccess) return error;
  const StoreMeans<C> finish{means, static_cast<C>(p.shape.count())};
  return launch_join(partials, grid, finish, stream);
}

}  // namespace

int64_t modulate_backward_workspace(const ModulateBackwardParams& p) {
  if (p.fixed_statistics) return 0;
  int64_t count = 0;
  with_pack(p, [&](auto tag, auto pack) {
    const auto grid = partial_grid<typename decltype(tag)::type, decltype(pack)::value>(p.shape);
    count = 2 * (p.shape.statistics() + grid.rows() * grid.statistics);
  });
  return count;
}

cudaError_t modulate_backward_cuda(const ModulateBackwardParams& p, void* workspace,
                                   cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  if (!p.fixed_statistics)
    with_pack(p, [&](auto tag, auto pack) {
      using T = typename decltype(tag)::type;
      error =
          reduce<T, decltype(pack)::value>(p, static_cast<Sums<Compute<T>>*>(workspace), stream);
    });
  if (error != cudaSuccess) return error;
  dispatch(p.shape.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool aligned = aligned_to_pack(p.grad, p.x, p.gamma, p.dx, p.dgamma);
    with_elements<T>(p.shape, aligned, [&](auto pack, auto statistics, auto index) {
      constexpr int N = decltype(pack)::value;
      const int64_t packs = p.shape.batch * p.shape.channels * p.shape.pixels / N;
      const auto kernel = backward<T, N, decltype(statistics)::value, decltype(index.pixels)>;
      error = launch_elements<kElementThreads>(
          kernel, packs, stream, p, static_cast<const Sums<Compute<T>>*>(workspace), index, packs);
    });
  });
  return error;
}

}  // namespace stylemap
