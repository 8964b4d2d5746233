// The product of bfloat16 pairs in matrix registers of 16 rows by 64 bytes: AMX. Included by
// gemm_impl.h.

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

constexpr int kTileRows = 16;  // also the words of a row

inline int tile_depth(int64_t words) { return words % kTileRows == 0 ? kTileRows : kTileRows / 2; }

// Registers 0 to 3 hold sums, 4 and 5 inputs, 6 and 7 weights, of which each has `depth` rows.
inline void configure_tiles(int rows, int depth) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? depth * 4 : 64);
    config.rows[i] = static_cast<uint8_t>(i < 6 ? rows : depth);
  }
  // GCC's intrinsic says that it reads the first 8 of the 64 bytes.
  __asm__ volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// 32 rows, or 16 where `second` is null.
inline void multiply_tiles(const GemmArgs& args, const uint32_t* first, const uint32_t* second,
                           int step, float* first_products, float* second_products) {
  const auto* weights = static_cast<const uint32_t*>(args.weights);
  const int64_t stride = args.input_stride * 4, row = kBlock * 4, to = args.product_stride * 4;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < args.depth; k += step, weights += step * kBlock) {
    _tile_loadd(6, weights, row);
    _tile_loadd(7, weights + kTileRows, row);
    _tile_loadd(4, first + k, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (!second) continue;
    _tile_loadd(5, second + k, stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, first_products, to);
  _tile_stored(1, first_products + kTileRows, to);
  if (!second) return;
  _tile_stored(2, second_products, to);
  _tile_stored(3, second_products + kTileRows, to);
}

// The last rows are done with some before them, which get the same values again.
inline void gemm_amx(const GemmArgs& args) {
  const int step = tile_depth(args.words);
  const int last = args.rows > kTileRows ? args.rows - kTileRows : 0;
  const auto* inputs = static_cast<const uint32_t*>(args.inputs);
  for (int row = 0; row < args.rows; row += 2 * kTileRows) {
    const int first = smaller(row, last), second = smaller(row + kTileRows, last);
    const bool two = row + kTileRows < args.rows;
    multiply_tiles(args, inputs + first * args.input_stride,
                   two ? inputs + second * args.input_stride : nullptr, step,
                   args.products + first * args.product_stride,
                   args.products + second * args.product_stride);
  }
}
