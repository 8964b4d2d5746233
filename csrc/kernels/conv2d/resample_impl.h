// The transforms of kUp and kDown (scheme.h). Included inside the namespace of one instruction set.

// kUp: 2 x 2 inputs -> x0, x0 + x1, x1 along both axes.
template <bool Pairs, bool Modulated, bool Inside>
inline void transform_up_tile(const InputArgs& args, int top, int left, uint32_t* v) {
  for (int c = 0; c < padded_channels(args); c += kWidth) {
    Vec d[2][2];
    read_patch<2, Modulated, Inside>(args, top, left, args.grid.height, args.grid.width, c, 2, d);
    const Vec rows[3][2] = {
        {d[0][0], d[0][1]}, {d[0][0] + d[1][0], d[0][1] + d[1][1]}, {d[1][0], d[1][1]}};
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      store_input<Pairs>(v + args.plane[i * 3], c, rows[i][0]);
      store_input<Pairs>(v + args.plane[i * 3 + 1], c, rows[i][0] + rows[i][1]);
      store_input<Pairs>(v + args.plane[i * 3 + 2], c, rows[i][1]);
    }
  }
}

template <bool Pairs, bool Modulated>
inline void transform_up_tiles(const InputArgs& args) {
  const TileGrid& grid = args.grid;
  const bool whole = args.channels % kChannels == 0;
  for (int i = 0; i < args.count; ++i) {
    const int tile = args.first + i;
    const int top = tile / grid.tiles_x * 2, left = tile % grid.tiles_x * 2;
    uint32_t* v = args.v + (args.v_first + i) * args.words;
    if (whole && top + 2 <= grid.height && left + 2 <= grid.width)
      transform_up_tile<Pairs, Modulated, true>(args, top, left, v);
    else
      transform_up_tile<Pairs, Modulated, false>(args, top, left, v);
  }
}

template <bool Pairs>
void transform_up(const InputArgs& args) {
  if (args.modulation)
    transform_up_tiles<Pairs, true>(args);
  else
    transform_up_tiles<Pairs, false>(args);
}

// [1 3 3 1] / 8
inline Vec blur(Vec a, Vec b, Vec c, Vec d) {
  return vfma(vset(0.375f), b + c, vset(0.125f) * (a + d));
}

// b0 ... b4 -> b0 - b2, b1, b2, b4 - b2, b3: the parts of planes 0, 0, 1, 2, 2.
inline void transform_down_line(const Vec (&b)[5], Vec (&r)[5]) {
  r[0] = b[0] - b[2];
  r[1] = b[1];
  r[2] = b[2];
  r[3] = b[4] - b[2];
  r[4] = b[3];
}

// kDown: 8 x 8 inputs -> 5 x 5 blurred values -> 9 planes of 1 to 4 parts.
template <bool Pairs, bool Inside>
inline void transform_down_tile(const InputArgs& args, int top, int left, int tile) {
  constexpr int kPlane[5] = {0, 0, 1, 2, 2}, kPart[5] = {0, 1, 0, 0, 1}, kParts[3] = {2, 1, 2};
  for (int c = 0; c < padded_channels(args); c += kWidth) {
    Vec d[8][8], blurred[5][8], done[5][5];
    read_patch<8, false, Inside>(args, top, left, 2 * args.grid.height, 2 * args.grid.width, c, 4,
                                 d);
    for (int i = 0; i < 5; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j)
        blurred[i][j] = blur(d[i][j], d[i + 1][j], d[i + 2][j], d[i + 3][j]);
    for (int i = 0; i < 5; ++i) {
      Vec line[5];
#pragma GCC unroll 5
      for (int j = 0; j < 5; ++j)
        line[j] = blur(blurred[i][j], blurred[i][j + 1], blurred[i][j + 2], blurred[i][j + 3]);
      transform_down_line(line, done[i]);
    }
#pragma GCC unroll 5
    for (int j = 0; j < 5; ++j) {
      const Vec column[5] = {done[0][j], done[1][j], done[2][j], done[3][j], done[4][j]};
      Vec r[5];
      transform_down_line(column, r);
#pragma GCC unroll 5
      for (int i = 0; i < 5; ++i) {
        const int depth = kParts[kPlane[i]] * kParts[kPlane[j]];
        const int part = kPart[i] * kParts[kPlane[j]] + kPart[j];
        uint32_t* plane = args.v + args.plane[kPlane[i] * 3 + kPlane[j]];
        store_input<Pairs>(plane + (int64_t{tile} * depth + part) * args.words, c, r[i]);
      }
    }
  }
}

template <bool Pairs>
void transform_down(const InputArgs& args) {
  const TileGrid& grid = args.grid;
  const bool whole = args.channels % kChannels == 0;
  for (int i = 0; i < args.count; ++i) {
    const int tile = args.first + i;
    const int top = tile / grid.tiles_x * 4 - 2, left = tile % grid.tiles_x * 4 - 2;
    const bool inside =
        whole && top >= 0 && left >= 0 && top + 8 <= 2 * grid.height && left + 8 <= 2 * grid.width;
    if (inside)
      transform_down_tile<Pairs, true>(args, top, left, args.v_first + i);
    else
      transform_down_tile<Pairs, false>(args, top, left, args.v_first + i);
  }
}

// The output line of kDown.
inline void transform_output_line(const Vec (&m)[3], Vec (&y)[2]) {
  y[0] = m[0] + m[1];
  y[1] = m[1] + m[2];
}
