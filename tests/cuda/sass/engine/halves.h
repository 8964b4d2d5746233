// float16 and bfloat16 as the conversions of a GPU round them: to nearest even, NaN to one pattern.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lanes.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace sass {

inline float half_to_float(uint16_t half) {
#if defined(__F16C__)
  return _cvtsh_ss(half);
#else
  const int exponent = half >> 10 & 31, mantissa = half & 0x3ff;
  const float magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                          : exponent     ? std::ldexp(1024.0f + mantissa, exponent - 25)
                                         : std::ldexp(static_cast<float>(mantissa), -24);
  return half & 0x8000 ? -magnitude : magnitude;
#endif
}

inline float to_float(uint16_t bits, bool bfloat) {
  return bfloat ? as_float(uint32_t{bits} << 16) : half_to_float(bits);
}

// A float that rounds to the same half as `value`: rounding twice must not move a tie.
inline float to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  if (nearest == value || nearest != nearest || std::isinf(nearest)) return nearest;
  const bool beyond = std::fabs(static_cast<double>(nearest)) > std::fabs(value);
  const uint32_t truncated = as_bits(nearest) - beyond;
  return as_float(truncated | 1);
}

inline uint16_t float_to_half(float value) {
#if defined(__F16C__)
  return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
#else
  const auto sign = static_cast<uint16_t>(as_bits(value) >> 16 & 0x8000);
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  int exponent;
  std::frexp(magnitude, &exponent);  // magnitude < 2^exponent
  const int unit = std::max(exponent - 11, -24);
  const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, -unit)));
  return static_cast<uint16_t>(sign | (((unit + 24) << 10) + steps));
#endif
}

inline uint16_t to_half(float value, bool bfloat) {
  if (value != value) return 0x7fff;
  const uint32_t bits = as_bits(value);
  if (!bfloat) return float_to_half(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline uint16_t to_half(double value, bool bfloat) { return to_half(to_odd(value), bfloat); }

}  // namespace sass
