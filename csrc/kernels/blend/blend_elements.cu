#include "kernels/blend/blend_cuda.h"
#include "kernels/common/launch.h"
#include "kernels/common/pack.h"

namespace stylemap {
namespace {

constexpr int kThreads = 256;

// Where pack `index` of N elements lies: N channels of a pixel, or with N = 1 any element.
template <class Index>
struct Cells {
  Index channels;
  Index height;
  Index width;
  bool channels_last;

  struct Place {
    int64_t sample;
    int64_t channel;
    int64_t y;
    int64_t x;
  };

  __device__ Place place(Index element) const {
    if (channels_last) {
      const Index pixel = element / channels, line = pixel / width;
      return {line / height, element % channels, line % height, pixel % width};
    }
    const Index line = element / width, plane = line / height;
    return {plane / channels, plane % channels, line % height, element % width};
  }

  // Element of a sample.
  __device__ int64_t offset(int64_t channel, int64_t y, int64_t x) const {
    return channels_last ? (y * width + x) * channels + channel
                         : (channel * height + y) * width + x;
  }

  __device__ bool inside(int64_t y, int64_t x) const {
    return y >= 0 && y < int64_t(height) && x >= 0 && x < int64_t(width);
  }
};

template <class T, int N, class Index>
__global__ void __launch_bounds__(kThreads)
    blend(const BlendParams p, Cells<Index> cells, int64_t packs) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const int64_t pack = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (pack >= packs) return;
  const auto at = cells.place(static_cast<Index>(pack * N));
  const T* code = static_cast<const T*>(p.code) + at.sample * p.code_stride;
  C value[N];
  load_pack<N>(code + cells.offset(at.channel, at.y, at.x), value);
  const int64_t y = at.y - p.dy, x = at.x - p.dx;
  if (cells.inside(y, x) && p.mask[at.sample * p.mask_stride + y * p.width + x]) {
    const C weight = static_cast<const C*>(p.weight)[at.sample * p.weight_stride];
    const T* reference = static_cast<const T*>(p.reference) + at.sample * p.reference_stride;
    C other[N];
    load_pack<N>(reference + cells.offset(at.channel, y, x), other);
#pragma unroll
    for (int i = 0; i < N; ++i) value[i] = blend_element(value[i], other[i], weight);
  }
  store_pack<N>(static_cast<T*>(p.y) + pack * N, value);
}

template <class T, int N, class Index>
__global__ void __launch_bounds__(kThreads)
    backward(const BlendBackwardParams p, Cells<Index> cells, int64_t packs) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const int64_t pack = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (pack >= packs) return;
  const auto at = cells.place(static_cast<Index>(pack * N));
  const C weight = static_cast<const C*>(p.weight)[at.sample * p.weight_stride];
  const bool* mask = p.mask + at.sample * p.mask_stride;
  const T* grad = static_cast<const T*>(p.grad);
  C own[N], moved[N] = {};
  load_pack<N>(grad + pack * N, own);
  // As a cell of the reference: its gradient comes from where the shift took it.
  if (const int64_t y = at.y + p.dy, x = at.x + p.dx;
      cells.inside(y, x) && mask[at.y * p.width + at.x]) {
    const int64_t sample = at.sample * p.channels * p.height * p.width;
    load_pack<N>(grad + sample + cells.offset(at.channel, y, x), moved);
  }
  // As a cell of the code: what the reference took is lost.
  const int64_t y = at.y - p.dy, x = at.x - p.dx;
  const bool on = cells.inside(y, x) && mask[y * p.width + x];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    own[i] -= on ? weight * own[i] : C(0);
    moved[i] *= weight;
  }
  store_pack<N>(static_cast<T*>(p.dcode) + pack * N, own);
  store_pack<N>(static_cast<T*>(p.dreference) + pack * N, moved);
}

// Calls function(pack size, cells) for packs where `whole`, for elements otherwise.
template <class T, class Params, class Function>
void with_cells(const Params& p, bool whole, const Function& function) {
  const auto with_index = [&](auto pack) {
    const auto make = [&](auto index) {
      using Index = decltype(index);
      return Cells<Index>{static_cast<Index>(p.channels), static_cast<Index>(p.height),
                          static_cast<Index>(p.width), p.channels_last};
    };
    if (p.batch * p.channels * p.height * p.width <= kIndexLimit)
      function(pack, make(uint32_t{}));
    else
      function(pack, make(int64_t{}));
  };
  if (whole && p.channels_last && p.channels % kPack<T> == 0)
    with_index(std::integral_constant<int, kPack<T>>{});
  else
    with_index(std::integral_constant<int, 1>{});
}

}  // namespace

cudaError_t blend_cuda(const BlendParams& p, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_cells<T>(p, aligned_to_pack(p.code, p.reference, p.y), [&](auto pack, auto cells) {
      constexpr int N = decltype(pack)::value;
      const int64_t packs = p.batch * p.channels * p.height * p.width / N;
      error = launch_elements<kThreads>(blend<T, N, decltype(cells.width)>, packs, stream, p, cells,
                                        packs);
    });
  });
  return error;
}

cudaError_t blend_backward_cuda(const BlendBackwardParams& p, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_cells<T>(p, aligned_to_pack(p.grad, p.dcode, p.dreference), [&](auto pack, auto cells) {
      constexpr int N = decltype(pack)::value;
      const int64_t packs = p.batch * p.channels * p.height * p.width / N;
      error = launch_elements<kThreads>(backward<T, N, decltype(cells.width)>, packs, stream, p,
                                        cells, packs);
    });
  });
  return error;
}

}  // namespace stylemap
