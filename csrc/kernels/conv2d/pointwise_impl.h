// The 1 x 1 convolutions of kernels.h. Included inside the namespace of one instruction set.

// One output pixel of the blur: 4 x 4 taps around (2 y, 2 x), zero outside.
inline void blur_pixel(const PointwiseArgs& args, int y, int x, float* to) {
  const float taps[4] = {0.125f, 0.375f, 0.375f, 0.125f};
  const int height = 2 * args.height, width = 2 * args.width;
  for (int c = 0; c < args.channels; c += kWidth) {
    Vec sum = vset(0.0f);
    for (int i = 0; i < 4; ++i) {
      const int from_y = 2 * y - 1 + i;
      if (from_y < 0 || from_y >= height) continue;
      const float* row = args.x + (int64_t{from_y} * width + 2 * x - 1) * args.channels + c;
      Vec line = vset(0.0f);
      for (int j = 0; j < 4; ++j) {
        const int from_x = 2 * x - 1 + j;
        if (from_x < 0 || from_x >= width) continue;
        const Vec value = load_some(row + int64_t{j} * args.channels, args.channels - c);
        line = vfma(vset(taps[j]), value, line);
      }
      sum = vfma(vset(taps[i]), line, sum);
    }
    vstore(to + c, sum);  // rows of scratch are whole vectors
  }
}

void pointwise(const PointwiseArgs& args) {
  const int padded = (args.channels + kChannels - 1) / kChannels * kChannels;
  auto* products = static_cast<float*>(args.scratch);
  float* rows = products + kPointwiseRows * kBlock;
  auto* rounded = reinterpret_cast<uint16_t*>(rows + kPointwiseRows * padded);
  GemmArgs gemm_args{};
  gemm_args.inputs = args.x + int64_t{args.first} * args.channels;
  gemm_args.input_stride = args.channels;
  gemm_args.depth = args.channels;
  gemm_args.products = products;
  gemm_args.product_stride = kBlock;
  gemm_args.rows = args.count;
  if (args.blur) {
    for (int p = 0; p < args.count; ++p)
      blur_pixel(args, (args.first + p) / args.width, (args.first + p) % args.width,
                 rows + p * padded);
    gemm_args.inputs = rows;
    gemm_args.input_stride = padded;
  }
  if (args.bf16) {
    const float* from = static_cast<const float*>(gemm_args.inputs);
    for (int p = 0; p < args.count; ++p)
      for (int c = 0; c < padded; c += kWidth)
        vstore_bf16(rounded + p * padded + c,
                    c < args.channels
                        ? load_some(from + p * gemm_args.input_stride + c, args.channels - c)
                        : vset(0.0f));
    gemm_args.inputs = rounded;
    gemm_args.input_stride = gemm_args.depth = padded / 2;
  }
  const int64_t panel = int64_t{padded} * kBlock / (args.bf16 ? 2 : 1);
  const Vec slope = vset(args.slope);
  gemm_args.words = gemm_args.depth;
  if (args.bf16) begin_gemm<true>(args.count, gemm_args.words);
  for (int block = 0; block * kBlock < args.out_channels; ++block) {
    gemm_args.weights = static_cast<const uint32_t*>(args.weights) + block * panel;
    if (args.bf16)
      gemm<true>(gemm_args);
    else
      gemm<false>(gemm_args);
    for (int column = 0; column < kBlock; column += kWidth) {
      const int channel = block * kBlock + column, lanes = args.out_channels - channel;
      if (lanes <= 0) break;
      const Vec bias = vload(args.bias + channel);
      float* out = args.out + int64_t{args.first} * args.out_channels + channel;
      for (int p = 0; p < args.count; ++p, out += args.out_channels) {
        const Vec value = vload(products + p * kBlock + column) + bias;
        const Vec result = vmax(value, value * slope);
        if (lanes >= kWidth)
          vstore(out, result);
        else
          vstore_first(out, result, lanes);
      }
    }
  }
  if (args.bf16) end_gemm<true>();
}

void to_rgb(const ToRgbArgs& args) {
  const int channels = args.channels, map_pixel = channels + 3;
  for (int64_t p = args.first; p < args.first + args.count; ++p) {
    const float *x = args.x + p * channels, *maps = args.maps + p * map_pixel;
    Vec sum[3] = {vset(0.0f), vset(0.0f), vset(0.0f)};
    for (int c = 0; c < channels; c += kWidth) {
      const int lanes = channels - c;
      const Vec centred = load_some(x + c, lanes) - load_some(args.mean + c, lanes);
      const Vec value = centred * load_some(args.rstd + c, lanes) * load_some(maps + c, lanes);
#pragma GCC unroll 3
      for (int o = 0; o < 3; ++o)
        sum[o] = vfma(load_some(args.weights + o * channels + c, lanes), value, sum[o]);
    }
    for (int o = 0; o < 3; ++o) {
      const float value = vsum(sum[o]) + maps[channels + o];
      const float scaled = value * args.slope;
      args.image[o * args.pixels + p] = value > scaled ? value : scaled;
    }
  }
}
