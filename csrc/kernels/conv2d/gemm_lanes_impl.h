// gemm_rows where a multiply-add takes one lane of a register: aarch64. A row's inputs of four
// depths are one load. Included by gemm_impl.h.

template <int Lane, int Rows, bool Pairs>
inline void add_depth(const PairVec (&inputs)[Rows], const uint32_t* weights, Vec (&sum)[Rows][2]) {
  const auto first_weights = load_weights<Pairs>(weights + Lane * kBlock);
  const auto second_weights = load_weights<Pairs>(weights + Lane * kBlock + kWidth);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    sum[r][0] = lane_multiply_add<Lane>(inputs[r], first_weights, sum[r][0]);
    sum[r][1] = lane_multiply_add<Lane>(inputs[r], second_weights, sum[r][1]);
  }
}

template <int Rows, bool Pairs>
inline void gemm_rows(const GemmArgs& args, int row) {
  constexpr int kVectors = 2;
  const int64_t stride = args.input_stride;
  const uint32_t* from = static_cast<const uint32_t*>(args.inputs) + row * stride;
  for (int column = 0; column < kBlock; column += kVectors * kWidth) {
    const uint32_t* weights = static_cast<const uint32_t*>(args.weights) + column;
    Vec sum[Rows][kVectors];
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = vset(0.0f);
    PairVec inputs[Rows];
    int64_t k = 0;
    for (; k + kWidth <= args.depth; k += kWidth, weights += kWidth * kBlock) {
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        inputs[r] = pairs_load(from + r * stride + k);
        __asm__("" : "+w"(inputs[r]));  // else GCC loads every lane on its own, and spills
      }
      add_depth<0, Rows, Pairs>(inputs, weights, sum);
      add_depth<1, Rows, Pairs>(inputs, weights, sum);
      add_depth<2, Rows, Pairs>(inputs, weights, sum);
      add_depth<3, Rows, Pairs>(inputs, weights, sum);
    }
    // Of a 1 x 1 convolution whose input has no padded channels.
    for (; k < args.depth; ++k, weights += kBlock) {
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) inputs[r] = pairs_set(from[r * stride + k]);
      add_depth<0, Rows, Pairs>(inputs, weights, sum);
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        vstore(args.products + (row + r) * args.product_stride + column + v * kWidth, sum[r][v]);
  }
}
