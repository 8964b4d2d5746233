// From products to output pixels: the transform A^T P A and everything that is done to its result
// while it is in registers. Included inside the namespace of one instruction set.

// A^T P A of one tile, kWidth channels from `column` of the block.
template <int M, int N>
inline void transform_output_tile(const float* products, int column, Vec (&y)[M][M]) {
  Vec columns_done[M][N];
  for (int j = 0; j < N; ++j) {
    Vec m[N], r[M];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) m[i] = vload(products + (i * N + j) * kBlock + column);
    transform_output_line(m, r);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) columns_done[i][j] = r[i];
  }
  for (int i = 0; i < M; ++i) transform_output_line(columns_done[i], y[i]);
}

constexpr int kAhead = 2;  // tiles between the prefetch of features or skip and their use

// Sums over the pixels of a unit, relative to its first pixel so that nothing cancels.
struct Moments {
  Vec shift, sum, squares;
  int pixels;
};

// Row sums first: one long chain of additions would cost more than the transform.
template <int M>
inline void add_moments(const Vec (&y)[M][M], int rows, int columns, Moments& moments) {
  if (moments.pixels == 0) moments.shift = y[0][0];
  moments.pixels += rows * columns;
  for (int i = 0; i < rows; ++i) {
    Vec sum = y[i][0] - moments.shift, squares = sum * sum;
    for (int j = 1; j < columns; ++j) {
      const Vec deviation = y[i][j] - moments.shift;
      sum = sum + deviation;
      squares = vfma(deviation, deviation, squares);
    }
    moments.sum = moments.sum + sum;
    moments.squares = moments.squares + squares;
  }
}

inline void store_moments(const Moments& moments, float* mean, float* m2, int lanes) {
  const Vec offset = moments.sum * vset(1.0f / static_cast<float>(moments.pixels));
  vstore_first(mean, moments.shift + offset, lanes);
  vstore_first(m2, vfnma(moments.sum, offset, moments.squares), lanes);
}

// y += the skip upsampled by 2 with the filter [1 3 3 1] / 4 along both axes, zero outside.
template <int M>
inline void add_upsampled(const OutputArgs& args, int top, int left, int column, int lanes,
                          Vec (&y)[M][M]) {
  constexpr int H = M / 2;
  const int height = args.grid.height / 2, width = args.grid.width / 2;
  const int low_y = top / 2 - 1, low_x = left / 2 - 1;
  const bool inside = lanes == kWidth && low_y >= 0 && low_x >= 0 && low_y + H + 2 <= height &&
                      low_x + H + 2 <= width;
  const float* from = args.skip + (int64_t{low_y} * width + low_x) * args.skip_pixel + column;
  const Vec near = vset(0.75f), far = vset(0.25f);
  Vec wide[H + 2][M];
  for (int i = 0; i < H + 2; ++i, from += width * args.skip_pixel) {
    Vec low[H + 2];
#pragma GCC unroll 8
    for (int j = 0; j < H + 2; ++j) {
      const bool exists =
          inside || (low_y + i >= 0 && low_y + i < height && low_x + j >= 0 && low_x + j < width);
      const float* at = from + j * args.skip_pixel;
      if (j >= 2) __builtin_prefetch(at + kAhead * H * args.skip_pixel);
      low[j] = inside ? vload(at) : exists ? vload_first(at, lanes) : vset(0.0f);
    }
#pragma GCC unroll 4
    for (int j = 0; j < H; ++j) {
      wide[i][2 * j] = vfma(near, low[j + 1], far * low[j]);
      wide[i][2 * j + 1] = vfma(near, low[j + 1], far * low[j + 2]);
    }
  }
  for (int i = 0; i < H; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < M; ++j) {
      y[2 * i][j] = vfma(near, wide[i + 1][j], vfma(far, wide[i][j], y[2 * i][j]));
      y[2 * i + 1][j] = vfma(near, wide[i + 1][j], vfma(far, wide[i + 2][j], y[2 * i + 1][j]));
    }
  }
}

template <int M>
inline void activate(const OutputArgs& args, int column, Vec (&y)[M][M]) {
  const Vec bias = vload(args.bias + column), slope = vset(args.slope);
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < M; ++j) {
      const Vec value = y[i][j] + bias;
      y[i][j] = vmax(value, value * slope);
    }
  }
}

// y, which holds gamma without its bias, becomes (features - mean) * rstd * gamma + beta.
template <int M>
inline void modulate(const OutputArgs& args, int top, int left, int rows, int columns, int column,
                     int lanes, const Vec (&beta)[M][M], Vec (&y)[M][M]) {
  const Vec gamma_bias = vload(args.bias + column);
  const Vec beta_bias = vload(args.bias + kChannels + column);
  const Vec mean = vload_first(args.mean + column, lanes);
  const Vec rstd = vload_first(args.rstd + column, lanes);
  for (int i = 0; i < rows; ++i) {
    const float* from =
        args.features + (int64_t{top + i} * args.grid.width + left) * args.feature_pixel + column;
    for (int j = 0; j < columns; ++j, from += args.feature_pixel) {
      __builtin_prefetch(from + kAhead * M * args.feature_pixel);
      const Vec x = lanes == kWidth ? vload(from) : vload_first(from, lanes);
      y[i][j] = vfma((x - mean) * rstd, y[i][j] + gamma_bias, beta[i][j] + beta_bias);
    }
  }
}

template <int M>
inline void add_same(const OutputArgs& args, int top, int left, int rows, int columns, int column,
                     int lanes, Vec (&y)[M][M]) {
  for (int i = 0; i < rows; ++i) {
    const float* from =
        args.skip + (int64_t{top + i} * args.grid.width + left) * args.skip_pixel + column;
    for (int j = 0; j < columns; ++j, from += args.skip_pixel)
      y[i][j] = y[i][j] + (lanes == kWidth ? vload(from) : vload_first(from, lanes));
  }
}

template <int M>
inline void store_tile(const OutputArgs& args, int top, int left, int rows, int columns, int column,
                       int lanes, const Vec (&y)[M][M]) {
  for (int i = 0; i < rows; ++i) {
    float* to = args.out + (int64_t{top + i} * args.grid.width + left) * args.pixel + column;
    for (int j = 0; j < columns; ++j, to += args.pixel) {
      if (args.stream)
        vstream(to, y[i][j]);
      else if (lanes == kWidth)
        vstore(to, y[i][j]);
      else
        vstore_first(to, y[i][j], lanes);
    }
  }
}

// `Whole`: all M x M pixels and all lanes exist.
template <int M, int N, bool Whole>
inline void finish_tile(const OutputArgs& args, int top, int left, const float* products,
                        int column, Moments& moments) {
  const int rows = Whole ? M : smaller(M, args.grid.height - top);
  const int columns = Whole ? M : smaller(M, args.grid.width - left);
  const int lanes = Whole ? kWidth : smaller(kWidth, args.channels - column);
  Vec y[M][M];
  transform_output_tile<M, N>(products, column, y);
  if (args.epilogue == Epilogue::kModulate) {
    Vec beta[M][M];
    transform_output_tile<M, N>(products, kChannels + column, beta);
    modulate<M>(args, top, left, rows, columns, column, lanes, beta, y);
  } else {
    activate<M>(args, column, y);
  }
  if (args.residual == Residual::kUpsampled)
    add_upsampled<M>(args, top, left, column, lanes, y);
  else if (args.residual == Residual::kSame)
    add_same<M>(args, top, left, rows, columns, column, lanes, y);
  if (args.partial_mean) add_moments<M>(y, rows, columns, moments);
  store_tile<M>(args, top, left, rows, columns, column, lanes, y);
}

// M x M outputs from N x N products.
template <int M, int N>
void transform_output(const OutputArgs& args) {
  const TileGrid& grid = args.grid;
  for (int first = 0; first < args.count; first += kUnit) {
    const int last = smaller(first + kUnit, args.count);
    for (int column = 0; column < args.channels; column += kWidth) {
      const int lanes = smaller(kWidth, args.channels - column);
      Moments moments{vset(0.0f), vset(0.0f), vset(0.0f), 0};
      for (int i = first; i < last; ++i) {
        const int tile = tile_at(grid, args.first + i);
        const int top = tile / grid.tiles_x * M, left = tile % grid.tiles_x * M;
        const float* products = args.products + i * args.tile_stride;
        if (lanes == kWidth && top + M <= grid.height && left + M <= grid.width)
          finish_tile<M, N, true>(args, top, left, products, column, moments);
        else
          finish_tile<M, N, false>(args, top, left, products, column, moments);
      }
      if (args.partial_mean) {
        const int64_t at = first / kUnit * args.partial_stride + column;
        store_moments(moments, args.partial_mean + at, args.partial_m2 + at, lanes);
      }
    }
  }
  if (args.stream) stream_fence();
}
