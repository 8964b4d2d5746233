// Vectors of 8 floats (AVX2 and FMA). Included inside the namespace of one instruction set.
using Vec = __m256;
using PairVec = __m256i;  // 8 pairs of bfloat16
constexpr int kWidth = 8;
constexpr int kMaxRows =
    6;  // 6 x 2 accumulators, 2 weight vectors and 1 broadcast: 15 of 16 registers

inline __m256i first(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec vset(float value) { return _mm256_set1_ps(value); }
inline Vec vload(const float* from) { return _mm256_loadu_ps(from); }
inline Vec vload(const float16* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Vec vload_first(const float* from, int count) {
  return _mm256_maskload_ps(from, first(count));
}
inline void vstore(float* to, Vec v) { _mm256_storeu_ps(to, v); }
inline void vstream(float* to, Vec v) { _mm256_stream_ps(to, v); }
inline void stream_fence() { _mm_sfence(); }
inline void vstore_first(float* to, Vec v, int count) { _mm256_maskstore_ps(to, first(count), v); }
inline Vec vfma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec vfnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
inline Vec vmax(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline float vsum(Vec v) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

inline PairVec pairs_load(const uint32_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline void pairs_store(uint32_t* to, PairVec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v);
}
inline PairVec pairs_set(uint32_t pair) { return _mm256_set1_epi32(static_cast<int>(pair)); }

inline Vec vdot2(Vec sum, PairVec a, PairVec b) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)),
                        _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)), sum);
  return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(a, high)),
                         _mm256_castsi256_ps(_mm256_and_si256(b, high)), sum);
}

// The bits of bfloat16 in the high halves, to nearest, ties to even.
inline PairVec rounded_bits(Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
}
inline PairVec vpairs(Vec low, Vec high) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm256_or_si256(_mm256_srli_epi32(rounded_bits(low), 16),
                         _mm256_and_si256(rounded_bits(high), mask));
}

inline void vstore_bf16(uint16_t* to, Vec v) {
  const __m256i words = _mm256_srli_epi32(rounded_bits(v), 16);
  const __m128i packed =
      _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), packed);
}
