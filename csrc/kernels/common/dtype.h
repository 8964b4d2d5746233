// Element types. Storage is plain bits; arithmetic is in float (double for double).
// On the CPU the conversions are integer tricks without branches so that loops over them vectorise;
// on a GPU they are instructions, which round the same way.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/macros.h"

namespace stylemap {

template <class To, class From>
SM_HOST_DEVICE To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, value);  // std::bit_cast needs C++20, which nvcc is not run with
}

enum class DType { kFloat64, kFloat32, kBFloat16, kFloat16 };

struct bfloat16 {
  uint16_t bits;
};

struct float16 {
  uint16_t bits;
};

// The type in which values of storage type T are computed and statistics are kept.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

SM_HOST_DEVICE double load(double value) { return value; }
SM_HOST_DEVICE float load(float value) { return value; }

SM_HOST_DEVICE float load(bfloat16 value) {
  return bits_as<float>(static_cast<uint32_t>(value.bits) << 16);
}

SM_HOST_DEVICE float load(float16 value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  // As the exponent of a float the bits are 2^112 too small, which a multiplication repairs (for
  // subnormals too); infinities and NaN get the float's own largest exponent.
  const uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  const uint32_t sign = (value.bits & 0x8000u) << 16;
  const float scaled = bits_as<float>(magnitude) * bits_as<float>((127u + 112u) << 23);
  const uint32_t special = magnitude | 0x7f800000u;
  const uint32_t bits = magnitude >= (0x7c00u << 13) ? special : bits_as<uint32_t>(scaled);
  return bits_as<float>(bits | sign);
#endif
}

SM_HOST_DEVICE void store(double& to, double value) { to = value; }
SM_HOST_DEVICE void store(float& to, float value) { to = value; }

SM_HOST_DEVICE void store(bfloat16& to, float value) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(value));
#else
  const uint32_t bits = bits_as<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest even
  const uint32_t quiet = (bits >> 16) | 0x0040u;
  to.bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
#endif
}

SM_HOST_DEVICE void store(float16& to, float value) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(value));
#else
  const uint32_t bits = bits_as<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Adding 2^-1 aligns the mantissa of a subnormal with the last bit of the sum, which rounds it.
  const uint32_t half = 126u << 23;
  const uint32_t subnormal =
      bits_as<uint32_t>(bits_as<float>(magnitude) + bits_as<float>(half)) - half;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  uint32_t result = magnitude < (113u << 23) ? subnormal : normal;
  result = magnitude >= (143u << 23) ? special : result;
  to.bits = static_cast<uint16_t>(result | sign);
#endif
}

// Instantiates MACRO(T) for every storage type.
#define SM_FOR_EACH_DTYPE(MACRO) \
  MACRO(double)                  \
  MACRO(float)                   \
  MACRO(::stylemap::bfloat16)    \
  MACRO(::stylemap::float16)

template <class T>
struct TypeTag {
  using type = T;
};

// Calls function(TypeTag<T>) for the storage type of dtype.
template <class Function>
inline void dispatch(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::kFloat64:
      return function(TypeTag<double>{});
    case DType::kFloat32:
      return function(TypeTag<float>{});
    case DType::kBFloat16:
      return function(TypeTag<bfloat16>{});
    case DType::kFloat16:
      return function(TypeTag<float16>{});
  }
}

}  // namespace stylemap
