// Four taps, contiguous planes. A block brings a tile of one plane to shared memory in compute
// type; a thread filters four neighbouring outputs of eight rows, so that shared memory is read 16
// bytes at a time and each input row is filtered once.
#include "kernels/common/pack.h"
#include "kernels/upfirdn2d/four_taps.h"
#include "kernels/upfirdn2d/upfirdn2d_paths.h"

namespace stylemap {
namespace {

constexpr int kThreads = 128;
constexpr int kAcross = 4;  // outputs of a thread along a row

template <class Axis>
constexpr int kStrip = 8;
template <>
constexpr int kStrip<Resample<1, 2>> = 4;  // four times the input per output

// A block is `columns` threads wide and kThreads / columns strips high.
struct PlaneTile {
  int columns;
  int strips;
  int64_t across;  // tiles of a plane
  int64_t down;
  int pitch;  // of the tile's input rows: whole vectors of four
};

// Of shared memory.
template <class Axis>
size_t tile_bytes(const PlaneTile& tile) {
  return sizeof(float) * Axis::inputs(tile.strips * kStrip<Axis>) * tile.pitch;
}

template <class Axis>
PlaneTile plane_tile(const Upfirdn2dParams& p) {
  constexpr size_t kMostBytes = 40 << 10;
  PlaneTile tile{};
  const int64_t width = p.out_width + Axis::lead(p.pad_left);
  const int64_t height = p.out_height + Axis::lead(p.pad_top);
  tile.columns = 1;
  while (tile.columns < 32 && tile.columns * kAcross < width) tile.columns *= 2;
  tile.pitch = static_cast<int>(ceil_div(Axis::inputs(tile.columns * kAcross), 4)) * 4;
  tile.strips = kThreads / tile.columns;
  // No higher than the plane, and no more than fits: shared memory bounds the blocks at work.
  while (tile.strips > 1 &&
         (tile.strips / 2 * kStrip<Axis> >= height || tile_bytes<Axis>(tile) > kMostBytes))
    tile.strips /= 2;
  tile.across = ceil_div(width, tile.columns * kAcross);
  tile.down = ceil_div(height, tile.strips * kStrip<Axis>);
  return tile;
}

// The sums over a row's taps for four outputs. Their inputs begin at a multiple of four, or of two
// when upsampling, and are read as vectors of that many.
template <class Axis, class C>
__device__ __forceinline__ void filter_row(const C* from, const C (&tap)[4],
                                           C (&filtered)[kAcross]) {
  constexpr int kVector = Axis::first(kAcross) % 4 == 0 ? 4 : 2;
  constexpr int kVectors = (Axis::inputs(kAcross) + kVector - 1) / kVector;
  C value[kVectors][kVector];
#pragma unroll
  for (int i = 0; i < kVectors; ++i) load_pack<kVector>(from + i * kVector, value[i]);
#pragma unroll
  for (int r = 0; r < kAcross; ++r) {
    filtered[r] = 0;
#pragma unroll
    for (int m = 0; m < Axis::kTerms; ++m) {
      const int i = Axis::first(r) + m;
      filtered[r] += tap[Axis::tap(r, m)] * value[i / kVector][i % kVector];
    }
  }
}

template <class T, class Axis>
__global__ void __launch_bounds__(kThreads)
    filter_planes(const Upfirdn2dParams p, const PlaneTile tile) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  constexpr int kRows = kStrip<Axis>;
  SM_DYNAMIC_SHARED(memory);
  SM_SHARED(FourTaps<C>, taps);
  C* const rows = reinterpret_cast<C*>(memory);
  const auto [plane, place] = split(blockIdx.x, tile.across * tile.down);
  const auto [row_tile, column_tile] = split(place, tile.across);
  const int64_t out_x = int64_t{column_tile} * tile.columns * kAcross - Axis::lead(p.pad_left);
  const int64_t out_y = int64_t{row_tile} * tile.strips * kRows - Axis::lead(p.pad_top);
  const int64_t in_x = Axis::input(out_x, p.pad_left), in_y = Axis::input(out_y, p.pad_top);
  const T* x = static_cast<const T*>(p.x) + int64_t{plane} * p.in_height * p.in_width;
  const int in_rows = Axis::inputs(tile.strips * kRows);
#pragma unroll 8
  for (int at = threadIdx.x; at < in_rows * tile.pitch; at += kThreads) {
    const int64_t row = in_y + at / tile.pitch, col = in_x + at % tile.pitch;
    const bool valid = row >= 0 && row < p.in_height && col >= 0 && col < p.in_width;
    rows[at] = valid ? load(x[row * p.in_width + col]) : C(0);
  }
  if (threadIdx.x == 0) load_taps(p, taps);
  __syncthreads();

  const int column = threadIdx.x % tile.columns * kAcross, strip = threadIdx.x / tile.columns;
  const int64_t x_out = out_x + column, y_out = out_y + strip * kRows;
  if (strip >= tile.strips || x_out >= p.out_width || y_out >= p.out_height) return;
  const C* from = rows + Axis::first(strip * kRows) * tile.pitch + Axis::first(column);
  const C bias =
      p.bias ? load(static_cast<const T*>(p.bias)[split(plane, p.channels).remainder]) : C(0);
  const C slope = static_cast<C>(p.negative_slope), gain = static_cast<C>(p.gain);
  T* y = static_cast<T*>(p.y) + int64_t{plane} * p.out_height * p.out_width;
  const bool whole = x_out >= 0 && x_out + kAcross <= p.out_width && p.out_width % kAcross == 0 &&
                     x_out % kAcross == 0;
  const auto finish = [&](int r, C(&value)[kAcross]) {
    if (y_out + r < 0 || y_out + r >= p.out_height) return;
    if (p.activate)
#pragma unroll
      for (int i = 0; i < kAcross; ++i) value[i] = bias_act_element(value[i], bias, slope, gain);
    T* to = y + (y_out + r) * p.out_width + x_out;
    if (whole) {
      store_pack<kAcross>(to, value);
    } else {
#pragma unroll
      for (int i = 0; i < kAcross; ++i)
        if (x_out + i >= 0 && x_out + i < p.out_width) store(to[i], value[i]);
    }
  };
  if (taps.separable) {
    C sum[kRows][kAcross] = {};
#pragma unroll
    for (int i = 0; i < Axis::inputs(kRows); ++i) {
      C filtered[kAcross];
      filter_row<Axis>(from + i * tile.pitch, taps.horizontal, filtered);
#pragma unroll
      for (int m = 0; m < Axis::kTerms; ++m)
#pragma unroll
        for (int k = 0; k < Axis::kOutputs; ++k) {
          const int r = Axis::output(i - m) + k;
          if (!Axis::has_output(i - m) || r < 0 || r >= kRows) continue;
#pragma unroll
          for (int c = 0; c < kAcross; ++c)
            sum[r][c] += taps.vertical[Axis::tap(r, m)] * filtered[c];
          if (m == Axis::kTerms - 1) finish(r, sum[r]);
        }
    }
  } else {
#pragma unroll 1
    for (int r = 0; r < kRows; ++r) {
      C sum[kAcross] = {};
#pragma unroll 1
      for (int m = 0; m < Axis::kTerms; ++m) {
        C filtered[kAcross];
        filter_row<Axis>(from + (Axis::first(r) + m) * tile.pitch, taps.tap[Axis::tap(r, m)],
                         filtered);
#pragma unroll
        for (int c = 0; c < kAcross; ++c) sum[c] += filtered[c];
      }
      finish(r, sum);
    }
  }
}

template <class T, class Axis>
cudaError_t launch_filter(const Upfirdn2dParams& p, cudaStream_t stream) {
  const PlaneTile tile = plane_tile<Axis>(p);
  const int64_t blocks = p.batch * p.channels * tile.across * tile.down;
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(filter_planes<T, Axis>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                tile_bytes<Axis>(tile), stream, p, tile);
}

}  // namespace

bool suits_planes(const Upfirdn2dParams& p) {
  return !p.channels_last && has_four_taps(p) && p.dtype != DType::kFloat64;
}

cudaError_t upfirdn2d_planes(const Upfirdn2dParams& p, cudaStream_t stream) {
  return with_resample(p, [&](auto axis) {
    using Axis = decltype(axis);
    if (p.dtype == DType::kFloat32) return launch_filter<float, Axis>(p, stream);
    if (p.dtype == DType::kBFloat16) return launch_filter<bfloat16, Axis>(p, stream);
    return launch_filter<float16, Axis>(p, stream);
  });
}

}  // namespace stylemap
