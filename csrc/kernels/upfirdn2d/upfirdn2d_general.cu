#include "kernels/bias_act/bias_act.h"
#include "kernels/common/launch.h"
#include "kernels/common/pack.h"
#include "kernels/upfirdn2d/upfirdn2d_paths.h"

namespace stylemap {
namespace {

constexpr int kThreads = 256;

// Any filter, factors, padding and layout: a thread per output, and only the taps that meet
// samples.
template <class T, class Index>
__global__ void __launch_bounds__(kThreads) filter_any(const Upfirdn2dParams p, Index count) {
  wait_for_earlier_kernels();
  using C = Compute<T>;
  const Index at = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const Index inner = p.channels_last ? p.channels : p.out_width;
  const Index fast = at % inner, rest = at / inner;
  const Index channel = p.channels_last ? fast : rest / p.out_height % p.channels;
  const Index x_out = p.channels_last ? rest % p.out_width : fast;
  const Index y_out = (p.channels_last ? rest / p.out_width : rest) % p.out_height;
  const Index sample = at / (Index(p.out_height) * p.out_width * p.channels);

  const TapRange rows = clipped_taps(y_out, p.up, p.down, p.pad_top, p.filter_height, p.in_height);
  const TapRange columns =
      clipped_taps(x_out, p.up, p.down, p.pad_left, p.filter_width, p.in_width);
  const int64_t step = p.channels_last ? p.channels : 1;
  const int64_t plane = p.channels_last
                            ? sample * p.in_height * p.in_width * p.channels + channel
                            : (int64_t(sample) * p.channels + channel) * p.in_height * p.in_width;
  const T* x = static_cast<const T*>(p.x) + plane;
  const C* filter = static_cast<const C*>(p.filter);
  C sum = 0;
  for (int64_t i = 0; i < rows.count; ++i) {
    const int64_t tap_row = rows.first_tap + i * p.up;
    const int64_t line = (p.flip_filter ? tap_row : p.filter_height - 1 - tap_row) * p.filter_width;
    for (int64_t j = 0; j < columns.count; ++j) {
      const int64_t tap = columns.first_tap + j * p.up;
      const int64_t pixel = (rows.first_input + i) * p.in_width + columns.first_input + j;
      sum +=
          filter[line + (p.flip_filter ? tap : p.filter_width - 1 - tap)] * load(x[pixel * step]);
    }
  }
  if (p.activate) {
    const C bias = p.bias ? load(static_cast<const T*>(p.bias)[channel]) : C(0);
    sum = bias_act_element(sum, bias, C(p.negative_slope), C(p.gain));
  }
  store(static_cast<T*>(p.y)[at], sum);
}

cudaError_t upfirdn2d_any(const Upfirdn2dParams& p, cudaStream_t stream) {
  const int64_t count = p.batch * p.channels * p.out_height * p.out_width;
  cudaError_t error = cudaSuccess;
  dispatch(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    error = count <= kIndexLimit
                ? launch_elements<kThreads>(filter_any<T, uint32_t>, count, stream, p, count)
                : launch_elements<kThreads>(filter_any<T, int64_t>, count, stream, p, count);
  });
  return error;
}

}  // namespace

cudaError_t upfirdn2d_cuda(const Upfirdn2dParams& p, cudaStream_t stream) {
  if (suits_pixels(p)) return upfirdn2d_pixels(p, {}, stream);
  if (suits_planes(p)) return upfirdn2d_planes(p, stream);
  return upfirdn2d_any(p, stream);
}

bool upfirdn2d_fuses(const Upfirdn2dParams& p) { return suits_pixels(p); }

cudaError_t upfirdn2d_fused_cuda(const Upfirdn2dParams& p, const Upfirdn2dFusion& fusion,
                                 cudaStream_t stream) {
  const bool possible = suits_pixels(p) && aligned_to_pack(fusion.residual);
  return possible ? upfirdn2d_pixels(p, fusion, stream) : cudaErrorInvalidValue;
}

}  // namespace stylemap
