// Arithmetic of floats, halves and doubles. Compiled with -frounding-math.
#include <cmath>

#include "halves.h"
#include "operands.h"

namespace sass {
namespace {

// Results too small for a normal number become zero, as do operands.
float flushed(float value) {
  return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}

template <class Function>
void float_lanes(Warp& w, const Instruction& i, Mask active, const Function& function) {
  const RoundingMode rounding(i.is.rounding);
  if (i.is.flush)
    lanewise(w, i, active, real, [&](uint32_t a, uint32_t b, uint32_t c) {
      return canonical(
          flushed(function(flushed(as_float(a)), flushed(as_float(b)), flushed(as_float(c)))));
    });
  else
    lanewise(w, i, active, real, [&](uint32_t a, uint32_t b, uint32_t c) {
      return canonical(function(as_float(a), as_float(b), as_float(c)));
    });
}

void fadd(Warp& w, const Instruction& i, Mask active) {
  float_lanes(w, i, active, [](float a, float b, float) { return a + b; });
}

void fmul(Warp& w, const Instruction& i, Mask active) {
  float_lanes(w, i, active, [](float a, float b, float) { return a * b; });
}

void ffma(Warp& w, const Instruction& i, Mask active) {
  float_lanes(w, i, active, [](float a, float b, float c) { return __builtin_fmaf(a, b, c); });
}

// The smaller where the predicate holds, otherwise the larger; of a number and NaN the number.
void fmnmx(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb, value;
  const Lanes &a = real(w, i.source[0], sa), &b = real(w, i.source[1], sb);
  const Mask smaller = predicate(w, i.in[0]);
  for (int l = 0; l < kWarpSize; ++l) {
    const float x = as_float(a[l]), y = as_float(b[l]);
    const bool less = x < y || (x == y && std::signbit(x));
    value[l] = x != x ? canonical(y) : y != y ? a[l] : less == has(smaller, l) ? a[l] : b[l];
  }
  set(w, i.result, value, active);
}

bool compares(Compare how, double a, double b) {
  const bool unordered = a != a || b != b;
  switch (how) {
    case Compare::kLess:
      return a < b;
    case Compare::kEqual:
      return a == b;
    case Compare::kLessEqual:
      return a <= b;
    case Compare::kGreater:
      return a > b;
    case Compare::kNotEqual:
      return !unordered && a != b;
    case Compare::kGreaterEqual:
      return a >= b;
    case Compare::kNumbers:
      return !unordered;
    case Compare::kNotNumbers:
      return unordered;
    case Compare::kLessOr:
      return unordered || a < b;
    case Compare::kEqualOr:
      return unordered || a == b;
    case Compare::kLessEqualOr:
      return unordered || a <= b;
    case Compare::kGreaterOr:
      return unordered || a > b;
    case Compare::kNotEqualOr:
      return unordered || a != b;
    case Compare::kGreaterEqualOr:
      return unordered || a >= b;
  }
  return false;
}

void set_comparison(Warp& w, const Instruction& i, Mask result, Mask active) {
  const Mask with = predicate(w, i.in[0]);
  set_predicate(w, i.out[0], combine(i.is.combine, result, with), active);
  set_predicate(w, i.out[1], combine(i.is.combine, ~result, with), active);
}

void fsetp(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb;
  const Lanes &a = real(w, i.source[0], sa), &b = real(w, i.source[1], sb);
  const bool flush = i.is.flush;
  set_comparison(w, i, mask_of([&](int l) {
                   const float x = as_float(a[l]), y = as_float(b[l]);
                   return compares(i.is.compare, flush ? flushed(x) : x, flush ? flushed(y) : y);
                 }),
                 active);
}

void dsetp(Warp& w, const Instruction& i, Mask active) {
  const Doubles a = doubles(w, i.source[0]), b = doubles(w, i.source[1]);
  set_comparison(
      w, i, mask_of([&](int l) { return compares(i.is.compare, a.value[l], b.value[l]); }), active);
}

// Whether a / b needs more than the short sequence: where an exponent is at or near its limits.
// Saying so too often costs time alone, since the long way is right for all operands.
void fchk(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb;
  const Lanes &a = real(w, i.source[0], sa), &b = real(w, i.source[1], sb);
  set_predicate(w, i.out[0], mask_of([&](int l) {
                  const int x = a[l] >> 23 & 0xff, y = b[l] >> 23 & 0xff;
                  return y == 0 || y >= 252 || x == 255 || x < 26 || x - y > 124 || x - y < -124;
                }),
                active);
}

// Of a double these see and make the high word alone; the code around them refines the result.
uint32_t reciprocal_high(uint32_t high, bool root) {
  const double x = as_double(0, high);
  const auto bits = std::bit_cast<uint64_t>(root ? 1 / std::sqrt(x) : 1 / x);
  return static_cast<uint32_t>(bits >> 32);
}

float special_value(const std::string& opcode, float x) {
  if (opcode.starts_with("MUFU.RCP")) return 1.0f / x;
  if (opcode.starts_with("MUFU.RSQ")) return static_cast<float>(1.0 / std::sqrt(double{x}));
  if (opcode.starts_with("MUFU.SQRT")) return std::sqrt(x);
  if (opcode.starts_with("MUFU.EX2")) return std::exp2(x);
  if (opcode.starts_with("MUFU.LG2")) return std::log2(x);
  throw Unknown(opcode + " is not implemented");
}

void mufu(Warp& w, const Instruction& i, Mask active) {
  const bool high = i.opcode.ends_with("64H"), root = i.opcode.starts_with("MUFU.RSQ");
  lanewise(w, i, active, real, [&](uint32_t a, uint32_t, uint32_t) {
    if (high) return reciprocal_high(a, root);
    return canonical(flushed(special_value(i.opcode, flushed(as_float(a)))));
  });
}

template <class Function>
void double_lanes(Warp& w, const Instruction& i, Mask active, const Function& function) {
  const RoundingMode rounding(i.is.rounding);
  Doubles s[3] = {};
  for (int n = 0; n < i.sources; ++n) s[n] = doubles(w, i.source[n]);
  Doubles value;
  for (int l = 0; l < kWarpSize; ++l)
    value.value[l] = function(s[0].value[l], s[1].value[l], s[2].value[l]);
  set(w, i.result, value, active);
}

void dadd(Warp& w, const Instruction& i, Mask active) {
  double_lanes(w, i, active, [](double a, double b, double) { return a + b; });
}

void dmul(Warp& w, const Instruction& i, Mask active) {
  double_lanes(w, i, active, [](double a, double b, double) { return a * b; });
}

void dfma(Warp& w, const Instruction& i, Mask active) {
  double_lanes(w, i, active, [](double a, double b, double c) { return __builtin_fma(a, b, c); });
}

// Two halves in a register, each as a float; H0_H0 and H1_H1 take one of them twice.
float half_of(uint32_t bits, const Operand& o, int which, bool bfloat) {
  if (o.half != Half::kBoth) which = o.half == Half::kHigh;
  float value = to_float(static_cast<uint16_t>(bits >> 16 * which), bfloat);
  if (o.kind == Kind::kImmediate) return value;
  if (o.absolute) value = std::fabs(value);
  return o.negate ? -value : value;
}

// With F32 the result is one float, of the first halves.
template <class Function>
void half_lanes(Warp& w, const Instruction& i, Mask active, const Function& function) {
  const bool to_single = i.opcode.find(".F32") != std::string::npos;
  Lanes scratch[3], value;
  const Lanes* s[3];
  for (int n = 0; n < 3; ++n)
    s[n] = n < i.sources ? &bits(w, i.source[n], scratch[n]) : &w.reg[kZeroRegister];
  const auto result = [&](int l, int which) {
    float v[3];
    for (int n = 0; n < 3; ++n) v[n] = half_of((*s[n])[l], i.source[n], which, i.is.bfloat);
    return function(v[0], v[1], v[2]);
  };
  for (int l = 0; l < kWarpSize; ++l)
    value[l] = to_single ? canonical(static_cast<float>(result(l, 0)))
                         : to_half(result(l, 0), i.is.bfloat) |
                               uint32_t{to_half(result(l, 1), i.is.bfloat)} << 16;
  set(w, i.result, value, active);
}

void hadd2(Warp& w, const Instruction& i, Mask active) {
  half_lanes(w, i, active, [](double a, double b, double) { return a + b; });
}

void hmul2(Warp& w, const Instruction& i, Mask active) {
  half_lanes(w, i, active, [](double a, double b, double) { return a * b; });
}

void hfma2(Warp& w, const Instruction& i, Mask active) {
  half_lanes(w, i, active, [](double a, double b, double c) { return a * b + c; });
}

}  // namespace

const Opcodes& float_opcodes() {
  static const Opcodes opcodes = {{"FADD", {fadd, Pipe::kFma, 1}},
                                  {"FMUL", {fmul, Pipe::kFma, 1}},
                                  {"FFMA", {ffma, Pipe::kFma, 1}},
                                  {"FMNMX", {fmnmx}},
                                  {"FSETP", {fsetp}},
                                  {"FCHK", {fchk}},
                                  {"MUFU", {mufu, Pipe::kSpecial, 8}},
                                  {"DADD", {dadd, Pipe::kDouble}},
                                  {"DMUL", {dmul, Pipe::kDouble}},
                                  {"DFMA", {dfma, Pipe::kDouble}},
                                  {"DSETP", {dsetp, Pipe::kDouble}},
                                  {"HADD2", {hadd2, Pipe::kFma}},
                                  {"HMUL2", {hmul2, Pipe::kFma}},
                                  {"HFMA2", {hfma2, Pipe::kFma}}};
  return opcodes;
}

}  // namespace sass
