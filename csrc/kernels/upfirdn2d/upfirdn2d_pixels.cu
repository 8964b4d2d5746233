// Four taps, channels_last. A block filters a tile of pixels of up to 8 packs of channels: the
// input, borders and all, comes to shared memory in one go of asynchronous 16-byte copies, and a
// thread walks down a column of one pack. Filtering rows first, 8 multiplications per value instead
// of 16 keep the arithmetic hidden behind the memory.
#include "kernels/common/mma.h"
#include "kernels/common/pack.h"
#include "kernels/common/reduce.h"
#include "kernels/upfirdn2d/four_taps.h"
#include "kernels/upfirdn2d/upfirdn2d_paths.h"

namespace stylemap {
namespace {

constexpr int kThreads = 128;
constexpr int kMostPacks = 8;  // 128 bytes of a pixel

// Output pixels of a block; columns * packs = kThreads.
struct PixelTile {
  int packs;
  int columns;
  int64_t across;  // tiles of a row
  int64_t down;
  int64_t slabs;   // of `packs` packs of channels
  Divisor inputs;  // pixels of x that a row of the tile takes

  SM_HOST_DEVICE int64_t per_sample() const { return across * down * slabs; }
};

template <class Axis>
constexpr int kStrip = 8;
template <>
constexpr int kStrip<Resample<1, 2>> = 4;  // 18 rows of input for 8 would not fit

// float64 is for gradcheck, and takes the general path.
template <class Function>
void with_type(DType dtype, const Function& function) {
  if (dtype == DType::kFloat32) function(TypeTag<float>{});
  if (dtype == DType::kBFloat16) function(TypeTag<bfloat16>{});
  if (dtype == DType::kFloat16) function(TypeTag<float16>{});
}

template <class T, class Axis>
PixelTile pixel_tile(const Upfirdn2dParams& p) {
  const int packs = static_cast<int>(p.channels / kPack<T>);
  PixelTile tile{};
  tile.packs = 1;
  while (tile.packs < packs && tile.packs < kMostPacks) tile.packs *= 2;
  tile.columns = kThreads / tile.packs;
  tile.across = ceil_div(p.out_width + Axis::lead(p.pad_left), tile.columns);
  tile.down = ceil_div(p.out_height + Axis::lead(p.pad_top), kStrip<Axis>);
  tile.slabs = ceil_div(packs, tile.packs);
  tile.inputs = Divisor(Axis::inputs(tile.columns));
  return tile;
}

template <class T, class Axis>
size_t tile_bytes(const PixelTile& tile) {
  return size_t(Axis::inputs(kStrip<Axis>)) * Axis::inputs(tile.columns) * tile.packs * 16;
}

template <class T>
struct Output {
  T* y;
  const T* residual;
  float residual_gain;
  bool activate;
  float negative_slope;
  float gain;
  Moments<float>* partials;
};

// Finishes a pack of outputs, stores it and joins the moments of what was stored if they are
// wanted.
template <class T, int N>
__device__ __forceinline__ void write_pack(const Output<T>& out, int64_t at, const float (&bias)[N],
                                           float (&value)[N], Moments<float>& moments) {
  using C = Compute<T>;
  if (out.activate)
#pragma unroll
    for (int i = 0; i < N; ++i)
      value[i] = bias_act_element(value[i], bias[i], out.negative_slope, out.gain);
  if (out.residual) {
    C residual[N];
    load_pack<N>(out.residual + at, residual);
#pragma unroll
    for (int i = 0; i < N; ++i) value[i] = (value[i] + residual[i]) * out.residual_gain;
  }
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) store(pack.value[i], value[i]);
  *reinterpret_cast<Pack<T, N>*>(out.y + at) = pack;
  if (out.partials) moments = join(moments, moments_of_pack<N>(pack.value));
}

// A column of the tile: input row i is at from + i * line, its terms `step` apart. Each row is
// filtered once and added to the outputs it belongs to.
template <class Axis, class T, class Finish>
__device__ __forceinline__ void filter_separable(const T* from, int line, int step, int column,
                                                 const FourTaps<Compute<T>>& taps,
                                                 const Finish& finish) {
  using C = Compute<T>;
  constexpr int N = kPack<T>, kRows = kStrip<Axis>;
  C sum[kRows][N] = {};
#pragma unroll
  for (int i = 0; i < Axis::inputs(kRows); ++i) {
    C filtered[N] = {};
#pragma unroll
    for (int m = 0; m < Axis::kTerms; ++m) {
      C value[N];
      load_pack<N>(from + i * line + m * step, value);
      const C tap = taps.horizontal[Axis::tap(column, m)];
#pragma unroll
      for (int c = 0; c < N; ++c) filtered[c] += tap * value[c];
    }
#pragma unroll
    for (int m = 0; m < Axis::kTerms; ++m)
#pragma unroll
      for (int k = 0; k < Axis::kOutputs; ++k) {
        const int r = Axis::output(i - m) + k;
        if (!Axis::has_output(i - m) || r < 0 || r >= kRows) continue;
#pragma unroll
        for (int c = 0; c < N; ++c) sum[r][c] += taps.vertical[Axis::tap(r, m)] * filtered[c];
        if (m == Axis::kTerms - 1) finish(r, sum[r]);
      }
  }
}

// The same for a filter without factors; no filter of this network, so kept small rather than fast.
template <class Axis, class T, class Finish>
__device__ __forceinline__ void filter_any(const T* from, int line, int step, int column,
                                           const FourTaps<Compute<T>>& taps, const Finish& finish) {
  using C = Compute<T>;
  constexpr int N = kPack<T>;
#pragma unroll 1
  for (int r = 0; r < kStrip<Axis>; ++r) {
    C sum[N] = {};
#pragma unroll 1
    for (int at = 0; at < Axis::kTerms * Axis::kTerms; ++at) {
      const int i = at / Axis::kTerms, m = at % Axis::kTerms;
      C value[N];
      load_pack<N>(from + (Axis::first(r) + i) * line + m * step, value);
#pragma unroll
      for (int c = 0; c < N; ++c)
        sum[c] += taps.tap[Axis::tap(r, i)][Axis::tap(column, m)] * value[c];
    }
    finish(r, sum);
  }
}

template <class T, class Axis>
__global__ void __launch_bounds__(kThreads)
    filter_pixels(const Upfirdn2dParams p, const PixelTile tile, const Output<T> out) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  constexpr int N = kPack<T>;
  constexpr int kRows = kStrip<Axis>;
  SM_DYNAMIC_SHARED(memory);
  SM_SHARED(FourTaps<C>, taps);
  const auto [sample, rest] = split(blockIdx.x, tile.per_sample());
  const auto [cell, slab] = split(rest, tile.slabs);
  const auto [row_tile, column_tile] = split(cell, tile.across);
  const int64_t out_x = int64_t{column_tile} * tile.columns - Axis::lead(p.pad_left);
  const int64_t out_y = int64_t{row_tile} * kRows - Axis::lead(p.pad_top);
  const int64_t in_x = Axis::input(out_x, p.pad_left), in_y = Axis::input(out_y, p.pad_top);
  const int pack = threadIdx.x % tile.packs, column = threadIdx.x / tile.packs;
  const int64_t channel = (int64_t{slab} * tile.packs + pack) * N;
  const bool has_channel = channel < p.channels;

  T* const pixels = reinterpret_cast<T*>(memory);
  const int width = Axis::inputs(tile.columns);
  const T* x = static_cast<const T*>(p.x) +
               int64_t{sample} * p.in_height * p.in_width * p.channels + channel;
  for (int at = column; at < Axis::inputs(kRows) * width; at += tile.columns) {
    const Split place = tile.inputs(static_cast<uint32_t>(at));
    const int64_t row = in_y + place.quotient, col = in_x + place.remainder;
    const bool valid = has_channel && row >= 0 && row < p.in_height && col >= 0 && col < p.in_width;
    copy_async(shared_address(pixels + (at * tile.packs + pack) * N),
               x + (valid ? (row * p.in_width + col) * p.channels : 0), valid);
  }
  commit_copies();
  if (threadIdx.x == 0) load_taps(p, taps);
  wait_for_copies<0>();
  __syncthreads();

  Moments<C> moments{};
  const int64_t x_out = out_x + column;
  if (has_channel && x_out >= 0 && x_out < p.out_width) {
    C bias[N] = {};
    if (p.bias) load_pack<N>(static_cast<const T*>(p.bias) + channel, bias);
    const T* const first = pixels + (Axis::first(column) * tile.packs + pack) * N;
    const auto finish = [&](int r, C(&value)[N]) {
      const int64_t y_out = out_y + r;
      if (y_out < 0 || y_out >= p.out_height) return;
      const int64_t at = ((sample * p.out_height + y_out) * p.out_width + x_out) * p.channels;
      write_pack<T>(out, at + channel, bias, value, moments);
    };
    if (taps.separable)
      filter_separable<Axis>(first, width * tile.packs * N, tile.packs * N, column, taps, finish);
    else
      filter_any<Axis>(first, width * tile.packs * N, tile.packs * N, column, taps, finish);
  }
  if (out.partials) {
    moments = block_join<kThreads>(moments);
    if (threadIdx.x == 0) out.partials[blockIdx.x] = moments;
  }
}

template <class T, class Axis>
cudaError_t launch_filter(const Upfirdn2dParams& p, const Upfirdn2dFusion& fusion,
                          cudaStream_t stream) {
  const PixelTile tile = pixel_tile<T, Axis>(p);
  const int64_t blocks = p.batch * tile.per_sample();
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  const Output<T> out{static_cast<T*>(p.y),
                      static_cast<const T*>(fusion.residual),
                      static_cast<float>(fusion.residual_gain),
                      p.activate,
                      static_cast<float>(p.negative_slope),
                      static_cast<float>(p.gain),
                      fusion.partials};
  return launch(filter_pixels<T, Axis>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                tile_bytes<T, Axis>(tile), stream, p, tile, out);
}

}  // namespace

bool suits_pixels(const Upfirdn2dParams& p) {
  bool suits = false;
  with_type(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    suits = p.channels_last && has_four_taps(p) && p.channels % kPack<T> == 0 &&
            aligned_to_pack(p.x, p.y, p.bias);
  });
  return suits;
}

cudaError_t upfirdn2d_pixels(const Upfirdn2dParams& p, const Upfirdn2dFusion& fusion,
                             cudaStream_t stream) {
  return with_resample(p, [&](auto axis) {
    using Axis = decltype(axis);
    cudaError_t error = cudaErrorInvalidValue;
    with_type(p.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      error = launch_filter<T, Axis>(p, fusion, stream);
    });
    return error;
  });
}

int64_t upfirdn2d_chunks(const Upfirdn2dParams& p) {
  int64_t chunks = 0;
  with_resample(p, [&](auto axis) {
    with_type(p.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      chunks = pixel_tile<T, decltype(axis)>(p).per_sample();
    });
    return cudaSuccess;
  });
  return chunks;
}

}  // namespace stylemap
