// From the products of kUp to image rows. Included inside the namespace of one instruction set.

// The rows of t that one band needs: row r of t is line r % 8, column x at index x + 1.
struct UpLines {
  float* lines;
  int columns;  // of t with one zero column before and after

  float* line(int row) const { return lines + int64_t{row & 7} * columns * kWidth; }

  void clear(int row) const {
    float* to = line(row);
    for (int x = 0; x < columns; ++x) vstore(to + int64_t{x} * kWidth, vset(0.0f));
  }
};

// Products of t0, t2, t4, t1, t3 -> t0 ... t4.
inline void transform_up_line(const Vec (&m)[5], Vec (&t)[5]) {
  t[0] = m[0];
  t[1] = m[3];
  t[2] = m[1] - m[0] - m[2];
  t[3] = m[4];
  t[4] = m[2];
}

inline void transform_up_products(const float* products, int column, Vec (&t)[5][5]) {
  Vec done[5][5];
  for (int j = 0; j < 5; ++j) {
    Vec m[5], r[5];
#pragma GCC unroll 5
    for (int i = 0; i < 5; ++i) m[i] = vload(products + (i * 5 + j) * kBlock + column);
    transform_up_line(m, r);
#pragma GCC unroll 5
    for (int i = 0; i < 5; ++i) done[i][j] = r[i];
  }
#pragma GCC unroll 5
  for (int i = 0; i < 5; ++i) transform_up_line(done[i], t[i]);
}

// Tile row r makes the rows 4 r ... 4 r + 4 of t; it adds to the first, which the row before began.
inline void add_tile_row(const UpOutputArgs& args, int tile_row, int column, const UpLines& t) {
  const int top = 4 * tile_row;
  if (tile_row == args.tiles_y) {
    for (int i = 1; i <= 4; ++i) t.clear(top + i);
    return;
  }
  const float* products =
      args.products + int64_t{tile_row - args.first_row} * args.tiles_x * args.tile_stride;
  Vec carry[5];
#pragma GCC unroll 5
  for (int i = 0; i < 5; ++i) carry[i] = vset(0.0f);
  float* lines[5];
  for (int i = 0; i < 5; ++i) lines[i] = t.line(top + i) + kWidth;
  for (int x = 0; x < args.tiles_x; ++x, products += args.tile_stride) {
    Vec values[5][5];
    transform_up_products(products, column, values);
#pragma GCC unroll 5
    for (int i = 0; i < 5; ++i) {
      values[i][0] = values[i][0] + carry[i];
      carry[i] = values[i][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        float* to = lines[i] + int64_t{4 * x + j} * kWidth;
        vstore(to, i == 0 ? vload(to) + values[i][j] : values[i][j]);
      }
    }
  }
  for (int i = 0; i < 5; ++i) {
    float* to = lines[i] + int64_t{4 * args.tiles_x} * kWidth;
    vstore(to, i == 0 ? vload(to) + carry[i] : carry[i]);
  }
}

// One image row: the blur of four rows of t, bias, leaky ReLU.
inline void finish_up_row(const UpOutputArgs& args, int y, int column, int lanes,
                          const UpLines& t) {
  const Vec near = vset(0.75f), far = vset(0.25f);
  const Vec bias = vload(args.bias + column), slope = vset(args.slope);
  const float* from[4];
  for (int i = 0; i < 4; ++i) from[i] = t.line(y - 1 + i);
  const auto vertical = [&](int64_t x) {
    const Vec inner = vload(from[1] + x * kWidth) + vload(from[2] + x * kWidth);
    const Vec outer = vload(from[0] + x * kWidth) + vload(from[3] + x * kWidth);
    return vfma(near, inner, far * outer);
  };
  float* to = args.out + int64_t{y} * args.width * args.pixel + column;
  Vec a = vertical(0), b = vertical(1), c = vertical(2);
  Vec shift = bias, sum = vset(0.0f), squares = sum;
  for (int x = 0; x < args.width; ++x, to += args.pixel) {
    const Vec d = vertical(x + 3);
    Vec value = vfma(near, b + c, vfma(far, a + d, bias));
    value = vmax(value, value * slope);
    if (args.stream)
      vstream(to, value);
    else if (lanes == kWidth)
      vstore(to, value);
    else
      vstore_first(to, value, lanes);
    if (x == 0) shift = value;
    const Vec deviation = value - shift;
    sum = sum + deviation;
    squares = vfma(deviation, deviation, squares);
    a = b;
    b = c;
    c = d;
  }
  if (args.partial_mean) {
    const Moments moments{shift, sum, squares, args.width};
    const int64_t at = y * args.partial_stride + column;
    store_moments(moments, args.partial_mean + at, args.partial_m2 + at, lanes);
  }
}

void up_output(const UpOutputArgs& args) {
  const UpLines t{args.scratch, 4 * args.tiles_x + 3};
  for (int column = 0; column < args.channels; column += kWidth) {
    const int lanes = smaller(kWidth, args.channels - column);
    for (int row = 0; row < 8; ++row) t.clear(row);
    if (args.first > 0) add_tile_row(args, args.first - 1, column, t);
    for (int band = args.first; band < args.last; ++band) {
      add_tile_row(args, band, column, t);
      for (int y = 4 * band - 2; y < 4 * band + 2; ++y)
        if (y >= 0 && y < args.height) finish_up_row(args, y, column, lanes, t);
    }
  }
  if (args.stream) stream_fence();
}
