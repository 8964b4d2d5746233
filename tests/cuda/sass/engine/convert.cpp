// Conversions between types. Compiled with -frounding-math.
#include <cmath>

#include "halves.h"
#include "operands.h"

namespace sass {
namespace {

// The source of a conversion from an integer of 64 bits.
uint64_t wide_source(const Lanes& low, const Lanes& high, int l) {
  return uint64_t{high[l]} << 32 | low[l];
}

void i2f(Warp& w, const Instruction& i, Mask active) {
  if (i.opcode.find("F64") != std::string::npos) throw Unknown(i.opcode + " is not implemented");
  const RoundingMode rounding(i.is.rounding);
  Lanes s0, s1, value;
  const bool is_64 = i.is.is_64;
  const Lanes& low = integer(w, i.source[0], s0);
  const Lanes& high = is_64 ? bits(w, i.source[0], s1, 1) : low;
  for (int l = 0; l < kWarpSize; ++l) {
    float f;
    if (is_64 && i.is.is_unsigned)
      f = static_cast<float>(wide_source(low, high, l));
    else if (is_64)
      f = static_cast<float>(static_cast<int64_t>(wide_source(low, high, l)));
    else if (i.is.is_unsigned)
      f = static_cast<float>(low[l]);
    else
      f = static_cast<float>(static_cast<int32_t>(low[l]));
    value[l] = as_bits(f);
  }
  set(w, i.result, value, active);
}

float rounded(float value, Rounding how) {
  switch (how) {
    case Rounding::kZero:
      return std::trunc(value);
    case Rounding::kUp:
      return std::ceil(value);
    case Rounding::kDown:
      return std::floor(value);
    default:
      return std::nearbyint(value);
  }
}

// What lies beyond the integer's range becomes its nearest end, and NaN zero (in 64 bits: the
// sign).
uint64_t to_integer(float value, bool is_unsigned, bool is_64) {
  const int bits = is_64 ? 64 : 32;
  const double highest = std::ldexp(1.0, is_unsigned ? bits : bits - 1);
  const double lowest = is_unsigned ? 0 : -highest;
  if (value != value) return is_64 ? uint64_t{1} << 63 : 0;
  if (value <= lowest) return is_unsigned ? 0 : uint64_t{1} << (bits - 1);
  if (value >= highest) return is_unsigned ? ~uint64_t{0} : (uint64_t{1} << (bits - 1)) - 1;
  return is_unsigned ? static_cast<uint64_t>(value)
                     : static_cast<uint64_t>(static_cast<int64_t>(value));
}

void f2i(Warp& w, const Instruction& i, Mask active) {
  Lanes scratch, low, high;
  const Lanes& from = real(w, i.source[0], scratch);
  for (int l = 0; l < kWarpSize; ++l) {
    const float value = rounded(as_float(from[l]), i.is.rounding);
    const uint64_t made = to_integer(value, i.is.is_unsigned, i.is.is_64);
    low[l] = static_cast<uint32_t>(made);
    high[l] = static_cast<uint32_t>(made >> 32);
  }
  set(w, i.result, low, active);
  if (i.is.is_64) set(w, i.result, high, active, 1);
}

void f2f(Warp& w, const Instruction& i, Mask active) {
  Lanes scratch;
  if (i.opcode == "F2F.F64.F32") {
    const Lanes& from = real(w, i.source[0], scratch);
    Doubles value;
    for (int l = 0; l < kWarpSize; ++l) value.value[l] = as_float(from[l]);
    return set(w, i.result, value, active);
  }
  if (i.opcode == "F2F.F32.F64") {
    const Doubles from = doubles(w, i.source[0]);
    Lanes value;
    for (int l = 0; l < kWarpSize; ++l) value[l] = canonical(static_cast<float>(from.value[l]));
    return set(w, i.result, value, active);
  }
  if (i.opcode != "F2F.F16.F32" && i.opcode != "F2F.BF16.F32")
    throw Unknown(i.opcode + " is not implemented");
  lanewise(w, i, active, real, [&](uint32_t a, uint32_t, uint32_t) {
    return uint32_t{to_half(as_float(a), i.is.bfloat)};
  });
}

// Two floats to a register of two halves, the first above.
void f2fp(Warp& w, const Instruction& i, Mask active) {
  if (i.opcode.find("F32.PACK_AB") == std::string::npos)
    throw Unknown(i.opcode + " is not implemented");
  lanewise(w, i, active, real, [&](uint32_t a, uint32_t b, uint32_t) {
    return uint32_t{to_half(as_float(a), i.is.bfloat)} << 16 | to_half(as_float(b), i.is.bfloat);
  });
}

void frnd(Warp& w, const Instruction& i, Mask active) {
  lanewise(w, i, active, real, [&](uint32_t a, uint32_t, uint32_t) {
    return canonical(rounded(as_float(a), i.is.rounding));
  });
}

}  // namespace

const Opcodes& convert_opcodes() {
  static const Opcodes opcodes = {
      {"I2F", {i2f, Pipe::kSpecial, 8}}, {"I2FP", {i2f}},  {"F2I", {f2i, Pipe::kSpecial, 8}},
      {"F2F", {f2f, Pipe::kSpecial, 8}}, {"F2FP", {f2fp}}, {"FRND", {frnd, Pipe::kSpecial, 8}}};
  return opcodes;
}

}  // namespace sass
