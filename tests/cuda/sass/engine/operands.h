// Reading and writing operands for whole warps.
#pragma once

#include <cfenv>

#include "machine.h"
#include "warp.h"

namespace sass {

// The bits of a source as they stand, `word` words further on for parts of 64 bits and more.
// Points into the warp where it can, otherwise to `scratch`.
inline const Lanes& bits(const Warp& w, const Operand& o, Lanes& scratch, int word = 0) {
  switch (o.kind) {
    case Kind::kRegister:
      return w.reg[o.index == kZeroRegister ? kZeroRegister : o.index + word];
    case Kind::kUniform:
      return w.uniform[o.index == kUniformZero ? kUniformZero : o.index + word];
    case Kind::kImmediate:
      return scratch = broadcast(word == 0 ? static_cast<uint32_t>(o.value) : 0);
    case Kind::kConstant:
      return read_constant(w, o, word, scratch);
    default:
      throw Unknown("an operand of this kind cannot be read as a value");
  }
}

inline const Lanes& integer(const Warp& w, const Operand& o, Lanes& scratch) {
  const Lanes& from = bits(w, o, scratch);
  if (!(o.negate || o.invert || o.absolute)) return from;
  for (int l = 0; l < kWarpSize; ++l) {
    uint32_t v = from[l];
    if (o.absolute && static_cast<int32_t>(v) < 0) v = 0u - v;
    if (o.invert) v = ~v;
    if (o.negate) v = 0u - v;
    scratch[l] = v;
  }
  return scratch;
}

inline const Lanes& real(const Warp& w, const Operand& o, Lanes& scratch) {
  const Lanes& from = bits(w, o, scratch);
  if (!(o.negate || o.absolute) || o.kind == Kind::kImmediate) return from;
  const uint32_t keep = o.absolute ? 0x7fffffffu : 0xffffffffu, flip = o.negate ? 0x80000000u : 0;
  for (int l = 0; l < kWarpSize; ++l) scratch[l] = (from[l] & keep) ^ flip;
  return scratch;
}

// A double: its high word alone where it is an immediate.
struct Doubles {
  double value[kWarpSize];
};

inline Doubles doubles(const Warp& w, const Operand& o) {
  Lanes a, b;
  Doubles d;
  const bool immediate = o.kind == Kind::kImmediate;
  const Lanes& low = immediate ? (a = broadcast(0)) : bits(w, o, a);
  const Lanes& high = immediate ? bits(w, o, b) : bits(w, o, b, 1);
  for (int l = 0; l < kWarpSize; ++l) {
    double v = as_double(low[l], high[l]);
    if (o.absolute && !immediate) v = __builtin_fabs(v);
    d.value[l] = o.negate && !immediate ? -v : v;
  }
  return d;
}

inline Mask predicate(const Warp& w, const Operand& o) {
  const Mask* from = o.kind == Kind::kUniformPredicate ? w.uniform_predicate : w.predicate;
  const Mask value = o.index == kTrue ? kAllLanes : from[o.index];
  return o.negate ? ~value : value;
}

inline void set_predicate(Warp& w, const Operand& o, Mask value, Mask active) {
  if (o.index == kTrue) return;
  if (o.kind == Kind::kUniformPredicate) {
    w.uniform_predicate[o.index] = value & 1 ? kAllLanes : 0;
  } else {
    Mask& to = w.predicate[o.index];
    to = (to & ~active) | (value & active);
  }
}

inline Lanes& destination(Warp& w, const Operand& o, int word = 0) {
  if (o.kind == Kind::kUniform)
    return o.index == kUniformZero ? w.discarded : w.uniform[o.index + word];
  return o.index == kZeroRegister ? w.discarded : w.reg[o.index + word];
}

inline void set(Warp& w, const Operand& o, const Lanes& value, Mask active, int word = 0) {
  Lanes& to = destination(w, o, word);
  if (active == kAllLanes) {
    to = value;
    return;
  }
  if (o.kind == Kind::kUniform) {
    to = broadcast(value[__builtin_ctz(active)]);
    return;
  }
  for (int l = 0; l < kWarpSize; ++l) to[l] = has(active, l) ? value[l] : to[l];
}

inline void set(Warp& w, const Operand& o, const Doubles& value, Mask active) {
  Lanes low, high;
  for (int l = 0; l < kWarpSize; ++l) {
    const auto b = std::bit_cast<uint64_t>(value.value[l]);
    low[l] = static_cast<uint32_t>(b);
    high[l] = static_cast<uint32_t>(b >> 32);
  }
  set(w, o, low, active);
  set(w, o, high, active, 1);
}

// Floating-point arithmetic rounds as the instruction says for as long as this lives.
class RoundingMode {
 public:
  explicit RoundingMode(Rounding rounding) : changed_(rounding != Rounding::kNearest) {
    static constexpr int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    if (changed_) std::fesetround(modes[static_cast<int>(rounding)]);
  }
  ~RoundingMode() {
    if (changed_) std::fesetround(FE_TONEAREST);
  }
  RoundingMode(const RoundingMode&) = delete;

 private:
  bool changed_;
};

// result = function(a, b, c) lane by lane, of the sources as integers or as bits of floats.
template <class Read, class Function>
void lanewise(Warp& w, const Instruction& i, Mask active, const Read& read,
              const Function& function) {
  Lanes scratch[3], value;
  const Lanes* s[3];
  for (int n = 0; n < 3; ++n)
    s[n] = n < i.sources ? &read(w, i.source[n], scratch[n]) : &w.reg[kZeroRegister];
  for (int l = 0; l < kWarpSize; ++l) value[l] = function((*s[0])[l], (*s[1])[l], (*s[2])[l]);
  set(w, i.result, value, active);
}

template <class Function>
Mask mask_of(const Function& function) {
  Mask mask = 0;
  for (int l = 0; l < kWarpSize; ++l) mask |= Mask{function(l) ? 1u : 0u} << l;
  return mask;
}

inline Mask combine(Combine how, Mask a, Mask b) {
  return how == Combine::kAnd ? a & b : how == Combine::kOr ? a | b : a ^ b;
}

}  // namespace sass
