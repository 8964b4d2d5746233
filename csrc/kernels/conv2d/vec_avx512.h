// Vectors of 16 floats (AVX-512). Included inside the namespace of one instruction set.
using Vec = __m512;
using PairVec = __m512i;  // 16 pairs of bfloat16
constexpr int kWidth = 16;
constexpr int kMaxRows =
    14;  // 14 x 2 accumulators, 2 weight vectors and 1 broadcast: 31 of 32 registers

inline __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1u); }

inline Vec vset(float value) { return _mm512_set1_ps(value); }
inline Vec vload(const float* from) { return _mm512_loadu_ps(from); }
inline Vec vload(const float16* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Vec vload_first(const float* from, int count) {
  return _mm512_maskz_loadu_ps(first(count), from);
}
inline void vstore(float* to, Vec v) { _mm512_storeu_ps(to, v); }
inline void vstream(float* to, Vec v) { _mm512_stream_ps(to, v); }
inline void stream_fence() { _mm_sfence(); }
inline void vstore_first(float* to, Vec v, int count) {
  _mm512_mask_storeu_ps(to, first(count), v);
}
inline Vec vfma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec vfnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
inline Vec vmax(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline float vsum(Vec v) { return _mm512_reduce_add_ps(v); }

inline PairVec pairs_load(const uint32_t* from) { return _mm512_loadu_si512(from); }
inline void pairs_store(uint32_t* to, PairVec v) { _mm512_storeu_si512(to, v); }
inline PairVec pairs_set(uint32_t pair) { return _mm512_set1_epi32(static_cast<int>(pair)); }

// The bits of bfloat16 in the high halves, to nearest, ties to even.
inline PairVec rounded_bits(Vec v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
}
inline PairVec vpairs(Vec low, Vec high) {
  const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm512_or_si512(_mm512_srli_epi32(rounded_bits(low), 16),
                         _mm512_and_si512(rounded_bits(high), mask));
}

#if defined(SM_HAS_BF16)

inline Vec vdot2(Vec sum, PairVec a, PairVec b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

inline void vstore_bf16(uint16_t* to, Vec v) {
  const __m256bh rounded = _mm512_cvtneps_pbh(v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(rounded));
}

#else

inline Vec vdot2(Vec sum, PairVec a, PairVec b) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                        _mm512_castsi512_ps(_mm512_slli_epi32(b, 16)), sum);
  return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)),
                         _mm512_castsi512_ps(_mm512_and_si512(b, high)), sum);
}

inline void vstore_bf16(uint16_t* to, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded_bits(v), 16)));
}

#endif
