// upfirdn2d: planes, channels_last, upsampling, a filter of another size; and the fused pass.
#include "cases.h"
#include "kernels/upfirdn2d/upfirdn2d_cuda.h"

namespace driver {
namespace {

constexpr int kBatch = 2, kChannels = 16, kHeight = 11, kWidth = 9;

struct Filter {
  const char* name;
  bool channels_last;
  int taps, up, down, pad;
};

// The definition at one output, from what `x` holds at sample, channel, row and column.
template <class At>
double filtered(const Filter& f, const Float& taps, int row, int column, const At& at) {
  double sum = 0;
  for (int i = 0; i < f.taps; ++i)
    for (int j = 0; j < f.taps; ++j) {
      const int y = row * f.down + i - f.pad, x = column * f.down + j - f.pad;
      if (y < 0 || x < 0 || y % f.up || x % f.up || y / f.up >= kHeight || x / f.up >= kWidth)
        continue;
      // A convolution: the filter is turned round.
      sum += taps[(f.taps - 1 - i) * f.taps + f.taps - 1 - j] * at(y / f.up, x / f.up);
    }
  return sum;
}

stylemap::Upfirdn2dParams params_of(const Filter& f) {
  const auto size = [&](int length) {
    return stylemap::upfirdn_size(length, f.up, f.down, f.pad, f.pad, f.taps);
  };
  return {.dtype = DType::kFloat16,
          .channels_last = f.channels_last,
          .x = nullptr,
          .filter = nullptr,
          .y = nullptr,
          .batch = kBatch,
          .channels = kChannels,
          .in_height = kHeight,
          .in_width = kWidth,
          .out_height = size(kHeight),
          .out_width = size(kWidth),
          .filter_height = f.taps,
          .filter_width = f.taps,
          .up = f.up,
          .down = f.down,
          .pad_left = f.pad,
          .pad_top = f.pad,
          .flip_filter = false,
          .activate = false,
          .bias = nullptr,
          .negative_slope = 1,
          .gain = 1};
}

void run(const Filter& f, bool fused) {
  stylemap::Upfirdn2dParams p = params_of(f);
  const auto height = static_cast<int>(p.out_height), width = static_cast<int>(p.out_width);
  Half x(kBatch * kChannels * kHeight * kWidth), y(kBatch * kChannels * height * width);
  Half residual(y.size());
  Float taps(f.taps * f.taps);
  randomize(x, 21), randomize(residual, 22), forget(y);
  for (int i = 0; i < f.taps; ++i)  // an outer product: the fast kernels ask for one
    for (int j = 0; j < f.taps; ++j)
      taps.host()[i * f.taps + j] = static_cast<float>((i + 1) * (j + 2)) / (10 * f.taps);
  taps.upload();
  p.x = x.device(), p.filter = taps.device(), p.y = y.device();
  constexpr double kResidualGain = 0.5;
  const stylemap::Upfirdn2dFusion fusion{residual.device(), kResidualGain, nullptr};
  const cudaError_t launched =
      fused ? upfirdn2d_fused_cuda(p, fusion, nullptr) : upfirdn2d_cuda(p, nullptr);
  report(f.name, launched, y, [&](size_t i) {
    const int pixels = height * width, n = static_cast<int>(i) / (kChannels * pixels);
    const int rest = static_cast<int>(i) % (kChannels * pixels);
    const int channel = f.channels_last ? rest % kChannels : rest / pixels;
    const int pixel = f.channels_last ? rest / kChannels : rest % pixels;
    const double sum = filtered(f, taps, pixel / width, pixel % width, [&](int row, int column) {
      const int at = row * kWidth + column;
      const int sample = n * kChannels * kHeight * kWidth;
      return x[sample +
               (f.channels_last ? at * kChannels + channel : channel * kHeight * kWidth + at)];
    });
    return fused ? (sum + residual[i]) * kResidualGain : sum;
  });
}

}  // namespace

void filters() {
  run({"upfirdn2d_cuda: planes", false, 4, 1, 1, 2}, false);
  run({"upfirdn2d_cuda: pixels", true, 4, 1, 1, 2}, false);
  run({"upfirdn2d_cuda: pixels, up", true, 4, 2, 1, 2}, false);
  run({"upfirdn2d_cuda: planes, down", false, 4, 1, 2, 1}, false);
  run({"upfirdn2d_cuda: general", true, 3, 1, 1, 1}, false);
  run({"upfirdn2d_fused_cuda", true, 4, 1, 1, 2}, true);
}

}  // namespace driver
