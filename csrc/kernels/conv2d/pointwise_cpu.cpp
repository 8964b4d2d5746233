#include "kernels/conv2d/pointwise.h"

#include <algorithm>

#include "kernels/common/dtype.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/scratch.h"

namespace stylemap {

void pointwise_pack(const double* weight, int64_t outputs, int64_t inputs, bool bf16,
                    void* packed) {
  for (int64_t o = 0; o < outputs; ++o) {
    const int64_t panel = o / kBlock * inputs * kBlock, column = o % kBlock;
    for (int64_t i = 0; i < inputs; ++i) {
      const float value = static_cast<float>(weight[o * inputs + i]);
      if (bf16)
        store(static_cast<bfloat16*>(packed)[panel + (i / 2 * kBlock + column) * 2 + i % 2], value);
      else
        static_cast<float*>(packed)[panel + i * kBlock + column] = value;
    }
  }
}

void pointwise(const PointwiseParams& params) {
  const int64_t pixels = params.height * params.width;
  const int64_t blocks = (pixels + kPointwiseRows - 1) / kPointwiseRows;
  const int64_t by = params.blur ? 4 : 1;
  const int64_t cost =
      kPointwiseRows * params.out_channels * std::max<int64_t>(1, params.channels / 16);
  parallel_tasks(params.batch * blocks, cost, [&](int64_t begin, int64_t end) {
    PointwiseArgs args{};
    args.height = static_cast<int>(params.height);
    args.width = static_cast<int>(params.width);
    args.channels = static_cast<int>(params.channels);
    args.blur = params.blur;
    args.weights = params.weights;
    args.bf16 = params.bf16;
    args.bias = params.bias;
    args.slope = params.slope;
    args.out_channels = static_cast<int>(params.out_channels);
    args.scratch = thread_scratch(pointwise_scratch(params.channels));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t sample = task / blocks, first = task % blocks * kPointwiseRows;
      args.x = params.x + sample * pixels * by * params.channels;
      args.out = params.out + sample * pixels * params.out_channels;
      args.first = static_cast<int>(first);
      args.count = static_cast<int>(std::min<int64_t>(kPointwiseRows, pixels - first));
      conv_kernels().pointwise(args);
    }
  });
}

void to_rgb(const ToRgbParams& params) {
  constexpr int64_t kRun = 256;
  const int64_t runs = (params.pixels + kRun - 1) / kRun;
  parallel_tasks(params.batch * runs, kRun * params.channels, [&](int64_t begin, int64_t end) {
    ToRgbArgs args{};
    args.pixels = params.pixels;
    args.channels = static_cast<int>(params.channels);
    args.weights = params.weights;
    args.slope = params.slope;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t sample = task / runs, first = task % runs * kRun;
      args.x = params.x + sample * params.pixels * params.channels;
      args.maps = params.maps + sample * params.pixels * (params.channels + 3);
      args.mean = params.mean + sample * params.moments_batch;
      args.rstd = params.rstd + sample * params.moments_batch;
      args.image = params.image + sample * 3 * params.pixels;
      args.first = first;
      args.count = std::min(kRun, params.pixels - first);
      conv_kernels().to_rgb(args);
    }
  });
}

}  // namespace stylemap
