// conv_act on the device: what its kernels share with those that convolve listed rows of several
// layers at once.
#pragma once

#include "kernels/bias_act/bias_act.h"
#include "kernels/common/reduce.h"
#include "kernels/implicit_gemm/implicit_gemm_cuda.h"
#include "kernels/implicit_gemm/split.h"

namespace stylemap {

template <class T>
struct PlainWeights {
  const ImplicitGemm& g;

  __device__ int count() const { return g.columns; }
  __device__ int64_t next(int columns) const {
    return int64_t{columns} * g.size * g.size * g.in_channels;
  }
  __device__ const T* at(int column) const {
    return static_cast<const T*>(g.weight) + next(column);
  }
};

// value += the skip at a pixel of the output.
template <class T, int N>
__device__ __forceinline__ void add_skip(const ConvActParams& p, const GemmPlan& plan,
                                         const OutPixel& out, int column, float (&value)[N]) {
  if (!p.skip_is_half) {
    const int64_t pixel = whole_pixel(plan, false, 0, out);
    float skip[N];
    load_pack<N>(static_cast<const T*>(p.skip) + pixel * p.gemm.columns + column, skip);
#pragma unroll
    for (int i = 0; i < N; ++i) value[i] += skip[i];
    return;
  }
  const int height = plan.out_height / 2, width = plan.out_width / 2;
  const SkipTaps rows = skip_taps(out.y), columns = skip_taps(out.x);
#pragma unroll
  for (int tap = 0; tap < 4; ++tap) {
    const int y = tap / 2 ? rows.far : rows.near, x = tap % 2 ? columns.far : columns.near;
    if (y < 0 || y >= height || x < 0 || x >= width) continue;
    const int64_t pixel = (int64_t{out.sample} * height + y) * width + x;
    float skip[N];
    load_pack<N>(static_cast<const T*>(p.skip) + pixel * p.gemm.columns + column, skip);
    const float weight = (tap / 2 ? 0.25f : 0.75f) * (tap % 2 ? 0.25f : 0.75f);
#pragma unroll
    for (int i = 0; i < N; ++i) value[i] += weight * skip[i];
  }
}

// act(sum + bias) of N columns. A bias may lie anywhere: it is read element by element.
template <class T, int N>
__device__ __forceinline__ void activate(const ConvActParams& p, int column, float (&value)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float bias = p.bias ? load(static_cast<const T*>(p.bias)[column + i]) : 0.0f;
    value[i] = bias_act_element(value[i], bias, p.negative_slope, p.gain);
  }
}

// What a block of the join does: y from the sums of parts.
template <class T>
__device__ __forceinline__ void join_block(const ConvActParams& p, const GemmPlan& plan,
                                           const JoinPlan& join_plan, uint32_t block) {
  const ImplicitGemm& g = p.gemm;
  const JoinPlace place = join_place(join_plan, block);
  const int index = place.column < g.columns ? join_pixel(g, plan, place) : -1;
  Moments<float> moments{};
  if (index >= 0) {
    float total[1][kJoinWidth] = {};
    add_parts(g.sums, plan, place, {place.column}, total);
    float (&value)[kJoinWidth] = total[0];
    activate<T>(p, place.column, value);
    Pack<T, kJoinWidth> rounded;
    if (p.skip) {
      // As the unfused result would have been stored.
#pragma unroll
      for (int i = 0; i < kJoinWidth; ++i) {
        store(rounded.value[i], value[i]);
        value[i] = load(rounded.value[i]);
      }
      add_skip<T>(p, plan, out_pixel(plan, 0, index), place.column, value);
    }
#pragma unroll
    for (int i = 0; i < kJoinWidth; ++i) store(rounded.value[i], value[i]);
    *reinterpret_cast<Pack<T, kJoinWidth>*>(static_cast<T*>(p.y) + int64_t{index} * g.columns +
                                            place.column) = rounded;
    if (p.partials) moments = moments_of_pack<kJoinWidth>(rounded.value);
  }
  if (p.partials) {
    moments = block_join<kJoinThreads>(moments);
    if (threadIdx.x == 0) p.partials[block] = moments;
  }
}

}  // namespace stylemap
