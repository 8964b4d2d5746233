#include "kernels/bias_act/bias_act.h"
#include "kernels/common/launch.h"
#include "kernels/common/pack.h"
#include "kernels/modulated_rgb/modulated_rgb_cuda.h"

// A group of lanes takes a pixel, a lane one or two of its packs; the lane's weights stay in
// registers while the group walks over pixels, so that memory is all there is to wait for.

namespace stylemap {
namespace {

constexpr int kThreads = 256;
constexpr int kPixelsPerGroup = 16;
constexpr int kMostPacks = 2;  // of a lane

struct Lanes {
  int group;  // lanes of a pixel: a power of two
  int packs;  // of a lane
};

inline Lanes lanes_for(int64_t packs) {
  Lanes lanes{1, 1};
  while (lanes.group < kWarpSize && lanes.group * 2 <= packs) lanes.group *= 2;
  lanes.packs = static_cast<int>(ceil_div(packs, lanes.group));
  return lanes;
}

template <class T, int kPacks>
__global__ void __launch_bounds__(kThreads, 2)
    modulated_rgb(const ModulatedRgbParams p, int group) {
  wait_for_earlier_kernels();
  constexpr int N = kPack<T>;
  const int lane = threadIdx.x % group;
  const int channels = static_cast<int>(p.shape.channels),
            pixels = static_cast<int>(p.shape.pixels);
  const int count = static_cast<int>(p.shape.batch) * pixels;
  // Statistics are [batch, statistics], or where groups is 0 one per channel for all samples.
  const int statistics = static_cast<int>(p.shape.groups);
  const int group_channels = statistics > 1 ? channels / statistics : 1;
  float weight[kPacks][kMostColors][N] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
#pragma unroll
    for (int o = 0; o < kMostColors; ++o) {
      const int channel = (lane + k * group) * N;
      if (channel < channels && o < p.colors)
        load_pack<N>(static_cast<const T*>(p.weight) + o * channels + channel, weight[k][o]);
    }
  const int groups = kThreads / group;
  const int first = (blockIdx.x * groups + threadIdx.x / group) * kPixelsPerGroup;
  // All lanes of a warp go round as often: they exchange sums.
  for (int step = 0; step < kPixelsPerGroup; ++step) {
    const int pixel = first + step, sample = pixel / pixels;
    float sum[kMostColors] = {};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int channel = (lane + k * group) * N;
      if (pixel >= count || channel >= channels) continue;
      float x[N], gamma[N];
      load_pack<N>(static_cast<const T*>(p.x) + int64_t{pixel} * channels + channel, x);
      load_pack<N>(static_cast<const T*>(p.gamma) + pixel * p.gamma_stride + channel, gamma);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const int s = sample * statistics + (statistics == 1 ? 0 : (channel + i) / group_channels);
        const float value = (x[i] - p.mean[s]) * p.rstd[s] * gamma[i];
#pragma unroll
        for (int o = 0; o < kMostColors; ++o) sum[o] += weight[k][o][i] * value;
      }
    }
    for (int distance = group / 2; distance > 0; distance /= 2)
#pragma unroll
      for (int o = 0; o < kMostColors; ++o)
        sum[o] += __shfl_xor_sync(0xffffffffu, sum[o], distance, group);
    if (lane != 0 || pixel >= count) continue;
#pragma unroll
    for (int o = 0; o < kMostColors; ++o) {
      if (o >= p.colors) continue;
      const float beta = load(static_cast<const T*>(p.beta)[pixel * p.beta_stride + o]);
      const float bias = load(static_cast<const T*>(p.bias)[o]);
      const int64_t at = (int64_t{sample} * p.colors + o) * pixels + pixel % pixels;
      store(static_cast<T*>(p.y)[at],
            bias_act_element(sum[o] + beta, bias, p.negative_slope, p.gain));
    }
  }
}

template <class T>
cudaError_t launch_type(const ModulatedRgbParams& p, cudaStream_t stream) {
  const Lanes lanes = lanes_for(p.shape.channels / kPack<T>);
  const int64_t per_block = int64_t{kThreads / lanes.group} * kPixelsPerGroup;
  const int64_t blocks = ceil_div(p.shape.batch * p.shape.pixels, per_block);
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(lanes.packs == 1 ? modulated_rgb<T, 1> : modulated_rgb<T, kMostPacks>,
                dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream, p, lanes.group);
}

template <class T>
bool suits(const ModulatedRgbParams& p) {
  return p.shape.channels_last && p.shape.channels % kPack<T> == 0 &&
         lanes_for(p.shape.channels / kPack<T>).packs <= kMostPacks && p.colors <= kMostColors &&
         p.shape.batch * p.shape.pixels <= INT32_MAX / 2 && p.gamma_stride % kPack<T> == 0 &&
         aligned_to_pack(p.x, p.gamma, p.weight);
}

}  // namespace

bool modulated_rgb_suits(const ModulatedRgbParams& p) {
  if (p.shape.dtype == DType::kFloat32) return suits<float>(p);
  if (p.shape.dtype == DType::kFloat64) return false;
  return suits<float16>(p);
}

cudaError_t modulated_rgb_cuda(const ModulatedRgbParams& p, cudaStream_t stream) {
  if (!modulated_rgb_suits(p)) return cudaErrorInvalidValue;
  if (p.shape.dtype == DType::kFloat32) return launch_type<float>(p, stream);
  if (p.shape.dtype == DType::kBFloat16) return launch_type<bfloat16>(p, stream);
  return launch_type<float16>(p, stream);
}

}  // namespace stylemap
