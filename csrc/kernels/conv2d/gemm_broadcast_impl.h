// gemm_rows where an input is loaded into every lane of a register: x86. Included by gemm_impl.h.

inline Vec multiply_add(uint32_t input, Vec weights, Vec sum) {
  return vfma(vset(__builtin_bit_cast(float, input)), weights, sum);
}

inline Vec multiply_add(uint32_t input, PairVec weights, Vec sum) {
  return vdot2(sum, pairs_set(input), weights);
}

// Bytes from the weights in use to those fetched: often of the next product, which lies behind this
// one. From the third-level cache they would come too slowly.
constexpr int kWeightsAhead = 4096;

template <int Rows, bool Pairs>
inline void gemm_rows(const GemmArgs& args, int row) {
  constexpr int kVectors = 2;
  constexpr int kPointers = (Rows + 2) / 3;  // rows r, r+1, r+2 are reached by scaled addressing
  const int64_t stride = args.input_stride;
  for (int column = 0; column < kBlock; column += kVectors * kWidth) {
    const uint32_t* from[kPointers];
    const uint32_t* inputs = static_cast<const uint32_t*>(args.inputs) + row * stride;
    for (int i = 0; i < kPointers; ++i) from[i] = inputs + 3 * i * stride;
    const uint32_t* weights = static_cast<const uint32_t*>(args.weights) + column;
    Vec sum[Rows][kVectors];
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = vset(0.0f);
    for (int64_t k = 0; k < args.depth; ++k, weights += kBlock) {
      const auto first_weights = load_weights<Pairs>(weights);
      const auto second_weights = load_weights<Pairs>(weights + kWidth);
      if (row == 0)  // further rows find them in the cache
        for (int line = 0; line < kVectors * kWidth; line += 16)
          __builtin_prefetch(reinterpret_cast<const char*>(weights + line) + kWeightsAhead, 0, 2);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const uint32_t input = from[r / 3][(r % 3) * stride + k];
        sum[r][0] = multiply_add(input, first_weights, sum[r][0]);
        sum[r][1] = multiply_add(input, second_weights, sum[r][1]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        vstore(args.products + (row + r) * args.product_stride + column + v * kWidth, sum[r][v]);
  }
}
