// The Winograd transforms of kernels.h. Included inside the namespace of one instruction set.

// B^T of a line.
template <int M>
inline void transform_input_line(const Vec (&d)[M + 2], Vec (&r)[M + 2]) {
  constexpr int kPairs = M / 2;
  constexpr const ToomTable<M>& t = kToom<M>;
  Vec even = d[2 * kPairs], odd = d[2 * kPairs + 1];  // the leading coefficient is 1
#pragma GCC unroll 4
  for (int k = 0; k < kPairs; ++k) {
    even = vfma(vset(static_cast<float>(t.p[k])), d[2 * k], even);
    odd = vfma(vset(static_cast<float>(t.p[k])), d[2 * k + 1], odd);
  }
  r[0] = even;
  r[M + 1] = odd;
#pragma GCC unroll 4
  for (int j = 0; j < kPairs; ++j) {
    even = d[2 * kPairs];
    odd = d[2 * kPairs - 1];
#pragma GCC unroll 4
    for (int k = 0; k < kPairs - 1; ++k) {
      even = vfma(vset(static_cast<float>(t.q[j][k])), d[2 * k + 2], even);
      odd = vfma(vset(static_cast<float>(t.q[j][k])), d[2 * k + 1], odd);
    }
    const Vec a = vset(static_cast<float>(t.a[j]));
    r[1 + 2 * j] = vfma(a, odd, even);
    r[2 + 2 * j] = vfnma(a, odd, even);
  }
}

// A^T of a line.
template <int M>
inline void transform_output_line(const Vec (&m)[M + 2], Vec (&y)[M]) {
  constexpr int kPairs = M / 2;
  constexpr const ToomTable<M>& t = kToom<M>;
  Vec sum[kPairs], difference[kPairs];
#pragma GCC unroll 4
  for (int j = 0; j < kPairs; ++j) {
    sum[j] = m[1 + 2 * j] + m[2 + 2 * j];
    difference[j] = m[1 + 2 * j] - m[2 + 2 * j];
  }
  y[0] = m[0];
#pragma GCC unroll 4
  for (int j = 0; j < kPairs; ++j) y[0] = y[0] + sum[j];
#pragma GCC unroll 8
  for (int i = 1; i < M; ++i) {
    const Vec* terms = i % 2 ? difference : sum;
    Vec value = i == M - 1 ? vfma(vset(static_cast<float>(t.power[0][i])), terms[0], m[M + 1])
                           : vset(static_cast<float>(t.power[0][i])) * terms[0];
#pragma GCC unroll 4
    for (int j = 1; j < kPairs; ++j)
      value = vfma(vset(static_cast<float>(t.power[j][i])), terms[j], value);
    y[i] = value;
  }
}

// The input value at a pixel of the image, channels [c, c + lanes), modulated if asked for. The
// same channels `ahead` pixels further on are wanted soon, and no hardware prefetcher follows this
// path: at 256 x 256 x 128 it takes 200 cycles a tile instead of 1000.
template <bool Modulated>
inline Vec read_input(const InputArgs& args, int64_t pixel, int c, int lanes, Vec mean, Vec rstd,
                      int ahead) {
  const float* from = args.x + pixel * args.pixel + c;
  if (ahead) __builtin_prefetch(from + ahead * args.pixel, 0, 2);
  const Vec x = lanes == kWidth ? vload(from) : vload_first(from, lanes);
  if constexpr (!Modulated) return x;
  const int run = c / kChannels;
  const float* gamma =
      args.modulation + pixel * args.modulation_pixel + run * 2 * kChannels + c % kChannels;
  if (ahead) {
    __builtin_prefetch(gamma + ahead * args.modulation_pixel, 0, 2);
    __builtin_prefetch(gamma + ahead * args.modulation_pixel + kChannels, 0, 2);
  }
  return vfma((x - mean) * rstd, vload(gamma), vload(gamma + kChannels));
}

template <int M, bool Pairs, bool Modulated, bool Inside>
inline void transform_input_tile(const InputArgs& args, int tile, uint32_t* v) {
  constexpr int N = M + 2;
  const int top = tile / args.grid.tiles_x * M - 1, left = tile % args.grid.tiles_x * M - 1;
  const int padded = (args.channels + kChannels - 1) / kChannels * kChannels;
  const int64_t image_width = int64_t{args.grid.width} * args.phases;
  const int first_row = Inside || top >= 0 ? 0 : 1, first_column = Inside || left >= 0 ? 0 : 1;
  const int rows = Inside ? N : smaller(N, args.grid.height - top);
  const int columns = Inside ? N : smaller(N, args.grid.width - left);
  const int ahead = M * args.phases;  // the next tile; its first two columns are this one's last
  const Vec zero = vset(0.0f);
  for (int phase = 0; phase < args.phases * args.phases; ++phase) {
    const int phase_y = phase / args.phases, phase_x = phase % args.phases;
    for (int c = 0; c < padded; c += kWidth) {
      const int lanes = smaller(kWidth, args.channels - c);
      Vec mean = zero, rstd = zero, columns_done[N][N];
      if (Modulated && lanes > 0) {
        mean = vload_first(args.mean + c, lanes);
        rstd = vload_first(args.rstd + c, lanes);
      }
      for (int j = 0; j < N; ++j) {
        Vec d[N], r[N];
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) {
          const bool exists = Inside || (i >= first_row && i < rows && j >= first_column &&
                                         j < columns && lanes > 0);
          const int64_t y = int64_t{top + i} * args.phases + phase_y;
          const int64_t x = int64_t{left + j} * args.phases + phase_x;
          d[i] = exists
                     ? read_input<Modulated>(args, y * image_width + x, c, Inside ? kWidth : lanes,
                                             mean, rstd, Inside && j >= 2 ? ahead : 0)
                     : zero;
        }
        transform_input_line<M>(d, r);
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) columns_done[i][j] = r[i];
      }
      const int64_t channel = int64_t{phase} * padded + c;
      for (int i = 0; i < N; ++i) {
        Vec r[N];
        transform_input_line<M>(columns_done[i], r);
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
          uint32_t* plane = v + (i * N + j) * args.plane_stride;
          if constexpr (Pairs)
            vstore_bf16(reinterpret_cast<uint16_t*>(plane) + channel, r[j]);
          else
            vstore(reinterpret_cast<float*>(plane) + channel, r[j]);
        }
      }
    }
  }
}

template <int M, bool Pairs, bool Modulated>
inline void transform_input_tiles(const InputArgs& args) {
  const TileGrid& grid = args.grid;
  for (int tile = args.first; tile < args.first + args.count; ++tile) {
    const int row = tile / grid.tiles_x, column = tile % grid.tiles_x;
    uint32_t* v = static_cast<uint32_t*>(args.v) + (tile - args.first) * args.tile_stride;
    const bool inside = row > 0 && column > 0 && (row + 1) * M + 1 <= grid.height &&
                        (column + 1) * M + 1 <= grid.width && args.channels % kWidth == 0 &&
                        args.channels % kChannels == 0;
    if (inside)
      transform_input_tile<M, Pairs, Modulated, true>(args, tile, v);
    else
      transform_input_tile<M, Pairs, Modulated, false>(args, tile, v);
  }
}

template <int M, bool Pairs>
void transform_input(const InputArgs& args) {
  if (args.modulation)
    transform_input_tiles<M, Pairs, true>(args);
  else
    transform_input_tiles<M, Pairs, false>(args);
}
