#include "kernels/modulate/join.h"
#include "kernels/modulate/modulate_cuda.h"

namespace stylemap {
namespace {

// Of x minus its first element: however far from zero the values are, their differences keep all
// their digits, and the mean is rounded once, in StoreMoments.
template <class T>
struct MomentsTask {
  using Element = T;
  using C = Compute<T>;
  using Partial = Moments<C>;
  const T* x;

  // The values stay in registers: the mean first, then the deviations, exact to the last bits.
  template <int N, int U>
  __device__ Partial together(const int64_t (&at)[U], const bool (&valid)[U], int64_t,
                              int64_t first) const {
    C value[U][N];
    C count = 0, sum = 0, m2 = 0;
    const C origin = load(x[first]);
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (valid[u]) load_pack<N>(x + at[u], value[u]);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        value[u][i] = valid[u] ? value[u][i] - origin : C(0);
        sum += value[u][i];
      }
      count += valid[u] ? C(N) : C(0);
    }
    const C mean = count > C(0) ? sum / count : C(0);
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const C deviation = valid[u] ? value[u][i] - mean : C(0);
        m2 += deviation * deviation;
      }
    return {count, mean, m2};
  }

  template <int N, int U>
  __device__ void apart(const int64_t (&at)[U], const bool (&valid)[U], int64_t, int64_t first,
                        Partial (&partial)[N]) const {
    C value[U][N];
    C count = 0;
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (valid[u]) load_pack<N>(x + at[u], value[u]);
      count += valid[u] ? C(1) : C(0);
    }
    if (count == C(0)) return;
    const C share = C(1) / count;
    C origin[N];
    load_pack<N>(x + first, origin);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      C mean = 0, m2 = 0;
#pragma unroll
      for (int u = 0; u < U; ++u) {
        value[u][i] -= origin[i];
        mean += valid[u] ? value[u][i] * share : C(0);
      }
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const C deviation = valid[u] ? value[u][i] - mean : C(0);
        m2 += deviation * deviation;
      }
      partial[i] = join(partial[i], {count, mean, m2});
    }
  }
};

template <class C>
struct StoreMoments {
  C* mean;
  C* spread;
  bool inverse;
  C eps;

  __device__ void operator()(int64_t s, const Moments<C>& moments, C origin) const {
    const C variance = moments.m2 / moments.count;  // of nothing: NaN, as the mean
    mean[s] = moments.count > C(0) ? origin + moments.mean : variance;
    spread[s] = inverse ? C(1) / sqrt(variance + eps) : variance;
  }
};

template <class T>
struct StoreShiftedMoments {
  StoreMoments<Compute<T>> out;
  PartialGrid grid;
  const T* x;

  __device__ void operator()(int64_t s, const Moments<Compute<T>>& moments) const {
    const bool any = moments.count > Compute<T>(0);
    out(s, moments, any ? load(x[grid.first(s / grid.statistics, s % grid.statistics)]) : 0);
  }
};

template <class C>
struct StorePlainMoments {
  StoreMoments<C> out;

  __device__ void operator()(int64_t s, const Moments<C>& moments) const { out(s, moments, C(0)); }
};

// Calls function(type tag, pack size) for the widest access that x allows.
template <class Function>
void with_pack(const MomentsParams& p, const Function& function) {
  dispatch(p.shape.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (aligned_to_pack(p.x) && whole_packs<T>(partial_grid<T, 1>(p.shape)))
      function(tag, std::integral_constant<int, kPack<T>>{});
    else
      function(tag, std::integral_constant<int, 1>{});
  });
}

}  // namespace

int64_t moments_workspace(const MomentsParams& p) {
  int64_t count = 0;
  with_pack(p, [&](auto tag, auto pack) {
    const auto grid = partial_grid<typename decltype(tag)::type, decltype(pack)::value>(p.shape);
    count = 3 * grid.rows() * grid.statistics;
  });
  return count;
}

cudaError_t moments_cuda(const MomentsParams& p, void* workspace, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  with_pack(p, [&](auto tag, auto pack) {
    using T = typename decltype(tag)::type;
    using C = Compute<T>;
    constexpr int N = decltype(pack)::value;
    const PartialGrid grid = partial_grid<T, N>(p.shape);
    auto* partials = static_cast<Moments<C>*>(workspace);
    const MomentsTask<T> task{static_cast<const T*>(p.x)};
    error = launch_partials<N>(task, grid, partials, stream);
    if (error != cudaSuccess) return;
    const StoreMoments<C> out{static_cast<C*>(p.mean), static_cast<C*>(p.spread), p.inverse,
                              static_cast<C>(p.eps)};
    const StoreShiftedMoments<T> finish{out, grid, task.x};
    error = launch_join(partials, grid, finish, stream);
  });
  return error;
}

cudaError_t join_moments_cuda(const Moments<float>* partials, int64_t batch, int64_t chunks,
                              double eps, float* mean, float* rstd, cudaStream_t stream) {
  PartialGrid grid{};
  grid.shape = {DType::kFloat32, true, batch, 1, 1, 1};
  grid.statistics = 1;
  grid.chunks = chunks;
  const StorePlainMoments<float> finish{{mean, rstd, true, static_cast<float>(eps)}};
  return launch_join(partials, grid, finish, stream);
}

}  // namespace stylemap
