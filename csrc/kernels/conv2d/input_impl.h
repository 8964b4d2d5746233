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
template <int N, int M>
  requires(N == M + 2)
inline void transform_output_line(const Vec (&m)[N], Vec (&y)[M]) {
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

inline int tile_at(const TileGrid& grid, int index) { return grid.list ? grid.list[index] : index; }

// The input value at a pixel of the image, channels [c, c + lanes), modulated if asked for. The
// same channels `ahead` pixels further on are wanted soon, and no hardware prefetcher follows this
// path: at 256 x 256 x 128 it takes 300 cycles a tile instead of 1000.
template <bool Modulated>
inline Vec read_input(const InputArgs& args, int64_t pixel, int c, int lanes, Vec mean, Vec rstd,
                      int ahead) {
  const float* from = args.x + pixel * args.channels + c;
  if (ahead) __builtin_prefetch(from + ahead * args.channels, 0, 2);
  const Vec x = lanes >= kWidth ? vload(from) : vload_first(from, lanes);
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

template <bool Pairs>
inline void store_input(uint32_t* row, int64_t channel, Vec value) {
  if constexpr (Pairs)
    vstore_bf16(reinterpret_cast<uint16_t*>(row) + channel, value);
  else
    vstore(reinterpret_cast<float*>(row) + channel, value);
}

inline Vec load_some(const float* from, int lanes) {
  return lanes >= kWidth ? vload(from) : vload_first(from, lanes);
}

// N x N pixels from (top, left), zero outside the image -> d. Inside: every pixel and lane exists.
template <int N, bool Modulated, bool Inside>
inline void read_patch(const InputArgs& args, int top, int left, int height, int width, int c,
                       int ahead, Vec (&d)[N][N]) {
  const int lanes = Inside ? kWidth : args.channels - c;
  Vec mean = vset(0.0f), rstd = mean;
  if (Modulated && lanes > 0) {
    mean = load_some(args.mean + c, lanes);
    rstd = load_some(args.rstd + c, lanes);
  }
  for (int i = 0; i < N; ++i) {
    const int64_t row = int64_t{top + i} * width + left;
    const bool row_exists = Inside || (top + i >= 0 && top + i < height && lanes > 0);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const bool exists = Inside || (row_exists && left + j >= 0 && left + j < width);
      const int fetch = Inside && j >= N - ahead ? ahead : 0;
      d[i][j] =
          exists ? read_input<Modulated>(args, row + j, c, lanes, mean, rstd, fetch) : vset(0.0f);
    }
  }
}

inline int padded_channels(const InputArgs& args) {
  return (args.channels + kChannels - 1) / kChannels * kChannels;
}

template <int M, bool Pairs, bool Modulated, bool Inside>
inline void transform_input_tile(const InputArgs& args, int top, int left, uint32_t* v) {
  constexpr int N = M + 2;
  for (int c = 0; c < padded_channels(args); c += kWidth) {
    Vec d[N][N], columns_done[N][N];
    read_patch<N, Modulated, Inside>(args, top, left, args.grid.height, args.grid.width, c, M, d);
    for (int j = 0; j < N; ++j) {
      Vec column[N], r[N];
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) column[i] = d[i][j];
      transform_input_line<M>(column, r);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) columns_done[i][j] = r[i];
    }
    for (int i = 0; i < N; ++i) {
      Vec r[N];
      transform_input_line<M>(columns_done[i], r);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) store_input<Pairs>(v + args.plane[i * N + j], c, r[j]);
    }
  }
}

template <int M, bool Pairs, bool Modulated>
inline void transform_input_tiles(const InputArgs& args) {
  const TileGrid& grid = args.grid;
  const bool whole = args.channels % kChannels == 0;
  for (int i = 0; i < args.count; ++i) {
    const int tile = tile_at(grid, args.first + i);
    const int top = tile / grid.tiles_x * M - 1, left = tile % grid.tiles_x * M - 1;
    uint32_t* v = args.v + (args.v_first + i) * args.words;
    if (whole && top >= 0 && left >= 0 && top + M + 2 <= grid.height && left + M + 2 <= grid.width)
      transform_input_tile<M, Pairs, Modulated, true>(args, top, left, v);
    else
      transform_input_tile<M, Pairs, Modulated, false>(args, top, left, v);
  }
}

template <int M, bool Pairs>
void transform_input(const InputArgs& args) {
  if (args.modulation)
    transform_input_tiles<M, Pairs, true>(args);
  else
    transform_input_tiles<M, Pairs, false>(args);
}
