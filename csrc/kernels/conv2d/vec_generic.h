// Vectors of 4 floats in the compiler's own notation: the baseline of any machine.
// Included inside the namespace of one instruction set.
typedef float Vec __attribute__((vector_size(16)));
typedef uint32_t PairVec __attribute__((vector_size(16)));  // 4 pairs of bfloat16
constexpr int kWidth = 4;
constexpr int kMaxRows =
    5;  // 5 x 2 accumulators, 2 weight vectors, 1 broadcast and 1 product: 14 of 16

inline Vec vset(float value) { return Vec{value, value, value, value}; }
inline Vec vload(const float* from) {
  Vec v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
inline Vec vload(const float16* from) {
  return Vec{load(from[0]), load(from[1]), load(from[2]), load(from[3])};
}
inline Vec vload_first(const float* from, int count) {
  Vec v = vset(0.0f);
  for (int i = 0; i < count; ++i) v[i] = from[i];
  return v;
}
inline void vstore(float* to, Vec v) { __builtin_memcpy(to, &v, sizeof v); }
inline void vstream(float* to, Vec v) { vstore(to, v); }
inline void stream_fence() {}
inline void vstore_first(float* to, Vec v, int count) {
  for (int i = 0; i < count; ++i) to[i] = v[i];
}
inline Vec vfma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec vfnma(Vec a, Vec b, Vec c) { return c - a * b; }
inline Vec vmax(Vec a, Vec b) { return a > b ? a : b; }
inline float vsum(Vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }

inline PairVec pairs_load(const uint32_t* from) {
  PairVec v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
inline void pairs_store(uint32_t* to, PairVec v) { __builtin_memcpy(to, &v, sizeof v); }
inline PairVec pairs_set(uint32_t pair) { return PairVec{pair, pair, pair, pair}; }

inline Vec vdot2(Vec sum, PairVec a, PairVec b) {
  sum = vfma(reinterpret_cast<Vec>(a << 16), reinterpret_cast<Vec>(b << 16), sum);
  return vfma(reinterpret_cast<Vec>(a & 0xffff0000u), reinterpret_cast<Vec>(b & 0xffff0000u), sum);
}

// The bits of bfloat16 in the high halves, to nearest, ties to even.
inline PairVec rounded_bits(Vec v) {
  const PairVec bits = reinterpret_cast<PairVec>(v);
  return bits + 0x7fffu + ((bits >> 16) & 1u);
}
inline PairVec vpairs(Vec low, Vec high) {
  return (rounded_bits(low) >> 16) | (rounded_bits(high) & 0xffff0000u);
}

inline void vstore_bf16(uint16_t* to, Vec v) {
  const PairVec rounded = rounded_bits(v) >> 16;
  for (int i = 0; i < kWidth; ++i) to[i] = static_cast<uint16_t>(rounded[i]);
}
