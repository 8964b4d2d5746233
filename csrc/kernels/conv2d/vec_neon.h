// Vectors of 4 floats (NEON, which every aarch64 processor has). Included inside the namespace of
// one instruction set.
using Vec = float32x4_t;
using PairVec = uint32x4_t;  // 4 pairs of bfloat16
constexpr int kWidth = 4;
constexpr int kMaxRows =
    8;  // 8 x 2 accumulators, 8 vectors of inputs, 2 of weights: 26 of 32 registers

inline Vec vset(float value) { return vdupq_n_f32(value); }
inline Vec vload(const float* from) { return vld1q_f32(from); }
inline Vec vload(const float16* from) {
  const uint16x4_t bits = vld1_u16(reinterpret_cast<const uint16_t*>(from));
  return vcvt_f32_f16(vreinterpret_f16_u16(bits));
}
inline Vec vload_first(const float* from, int count) {
  float lanes[kWidth] = {};
  for (int i = 0; i < count; ++i) lanes[i] = from[i];
  return vld1q_f32(lanes);
}
inline void vstore(float* to, Vec v) { vst1q_f32(to, v); }
inline void vstream(float* to, Vec v) { vstore(to, v); }
inline void stream_fence() {}
inline void vstore_first(float* to, Vec v, int count) {
  float lanes[kWidth];
  vst1q_f32(lanes, v);
  for (int i = 0; i < count; ++i) to[i] = lanes[i];
}
inline Vec vfma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline Vec vfnma(Vec a, Vec b, Vec c) { return vfmsq_f32(c, a, b); }
inline Vec vmax(Vec a, Vec b) { return vmaxq_f32(a, b); }
inline float vsum(Vec v) { return vaddvq_f32(v); }

inline PairVec pairs_load(const uint32_t* from) { return vld1q_u32(from); }
inline void pairs_store(uint32_t* to, PairVec v) { vst1q_u32(to, v); }
inline PairVec pairs_set(uint32_t pair) { return vdupq_n_u32(pair); }

// The bits of bfloat16 in the high halves, to nearest, ties to even.
inline PairVec rounded_bits(Vec v) {
  const uint32x4_t bits = vreinterpretq_u32_f32(v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
}
inline PairVec vpairs(Vec low, Vec high) {
  const PairVec mask = vdupq_n_u32(0xffff0000u);
  return vorrq_u32(vshrq_n_u32(rounded_bits(low), 16), vandq_u32(rounded_bits(high), mask));
}

// The lane of `inputs` that belongs to this depth, times every weight.
template <int Lane>
inline Vec lane_multiply_add(PairVec inputs, Vec weights, Vec sum) {
  return vfmaq_laneq_f32(sum, weights, vreinterpretq_f32_u32(inputs), Lane);
}

#if defined(SM_HAS_BF16)

inline Vec vdot2(Vec sum, PairVec a, PairVec b) {
  return vbfdotq_f32(sum, vreinterpretq_bf16_u32(a), vreinterpretq_bf16_u32(b));
}

template <int Lane>
inline Vec lane_multiply_add(PairVec inputs, PairVec weights, Vec sum) {
  return vbfdotq_laneq_f32(sum, vreinterpretq_bf16_u32(weights), vreinterpretq_bf16_u32(inputs),
                           Lane);
}

inline void vstore_bf16(uint16_t* to, Vec v) {
  vst1_u16(to, vreinterpret_u16_bf16(vcvt_bf16_f32(v)));
}

#else

inline Vec vdot2(Vec sum, PairVec a, PairVec b) {
  const PairVec high = vdupq_n_u32(0xffff0000u);
  sum = vfmaq_f32(sum, vreinterpretq_f32_u32(vshlq_n_u32(a, 16)),
                  vreinterpretq_f32_u32(vshlq_n_u32(b, 16)));
  return vfmaq_f32(sum, vreinterpretq_f32_u32(vandq_u32(a, high)),
                   vreinterpretq_f32_u32(vandq_u32(b, high)));
}

template <int Lane>
inline Vec lane_multiply_add(PairVec inputs, PairVec weights, Vec sum) {
  return vdot2(sum, vdupq_laneq_u32(inputs, Lane), weights);
}

inline void vstore_bf16(uint16_t* to, Vec v) { vst1_u16(to, vshrn_n_u32(rounded_bits(v), 16)); }

#endif
