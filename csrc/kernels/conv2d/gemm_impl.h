// The register-blocked product of kernels.h. Included inside the namespace of one instruction set.

inline int smaller(int a, int b) { return a < b ? a : b; }

template <bool Pairs>
inline auto load_weights(const uint32_t* from) {
  if constexpr (Pairs)
    return pairs_load(from);
  else
    return vload(reinterpret_cast<const float*>(from));
}

inline Vec multiply_add(uint32_t input, Vec weights, Vec sum) {
  return vfma(vset(__builtin_bit_cast(float, input)), weights, sum);
}

inline Vec multiply_add(uint32_t input, PairVec weights, Vec sum) {
  return vdot2(sum, pairs_set(input), weights);
}

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

template <bool Pairs, int Rows>
inline void gemm_last_rows(const GemmArgs& args, int row, int rows) {
  if constexpr (Rows > 0) {
    if (rows == Rows)
      gemm_rows<Rows, Pairs>(args, row);
    else
      gemm_last_rows<Pairs, Rows - 1>(args, row, rows);
  }
}

// Rows in groups of nearly equal size, none above kMaxRows.
template <bool Pairs>
void gemm(const GemmArgs& args) {
  const int groups = (args.rows + kMaxRows - 1) / kMaxRows;
  for (int group = 0, row = 0; group < groups; ++group) {
    const int rows = (args.rows - row) / (groups - group);
    gemm_last_rows<Pairs, kMaxRows>(args, row, rows);
    row += rows;
  }
}
