// A register of a warp, and the bit patterns in it.
#pragma once

#include <bit>
#include <cstdint>

namespace sass {

constexpr int kWarpSize = 32;

// One bit per lane.
using Mask = uint32_t;
constexpr Mask kAllLanes = 0xffffffffu;

inline bool has(Mask mask, int lane) { return mask >> lane & 1; }

struct alignas(64) Lanes {
  uint32_t value[kWarpSize];

  uint32_t& operator[](int lane) { return value[lane]; }
  uint32_t operator[](int lane) const { return value[lane]; }
};

inline float as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t as_bits(float value) { return std::bit_cast<uint32_t>(value); }
inline double as_double(uint32_t low, uint32_t high) {
  return std::bit_cast<double>(uint64_t{high} << 32 | low);
}

inline Lanes broadcast(uint32_t value) {
  Lanes lanes;
  for (uint32_t& lane : lanes.value) lane = value;
  return lanes;
}

// A GPU's NaN results have one pattern.
inline uint32_t canonical(float value) { return value != value ? 0x7fffffffu : as_bits(value); }

}  // namespace sass
