// Integer arithmetic, logic and comparisons.
#include <algorithm>

#include "operands.h"

namespace sass {
namespace {

// A sum's carries: of a negated operand -b counts as ~b + 1, as the hardware adds it.
uint64_t addend(uint32_t value, const Operand& o, bool carry) {
  if (o.absolute) value = static_cast<int32_t>(value) < 0 ? 0u - value : value;
  if (o.invert) return static_cast<uint32_t>(~value);
  if (!o.negate) return value;
  return carry ? static_cast<uint32_t>(~value) : uint64_t{static_cast<uint32_t>(~value)} + 1;
}

Mask input(const Warp& w, const Instruction& i, int n, Mask otherwise = 0) {
  return n < i.ins ? predicate(w, i.in[n]) : otherwise;
}

void set_carries(Warp& w, const Instruction& i, const uint64_t (&sum)[kWarpSize], Mask active) {
  for (int n = 0; n < i.outs; ++n)
    set_predicate(w, i.out[n], mask_of([&](int l) { return sum[l] >> 32 > unsigned(n); }), active);
}

void iadd3(Warp& w, const Instruction& i, Mask active) {
  Lanes scratch, value;
  uint64_t sum[kWarpSize] = {};
  if (i.is.carry)
    for (int n = 0; n < 2; ++n) {
      const Mask carry = input(w, i, n);
      for (int l = 0; l < kWarpSize; ++l) sum[l] += has(carry, l);
    }
  for (int n = 0; n < i.sources; ++n) {
    const Lanes& s = bits(w, i.source[n], scratch);
    const Operand& o = i.source[n];
    if (!(o.negate || o.invert || o.absolute)) {
      for (int l = 0; l < kWarpSize; ++l) sum[l] += s[l];
    } else {
      for (int l = 0; l < kWarpSize; ++l) sum[l] += addend(s[l], o, i.is.carry);
    }
  }
  for (int l = 0; l < kWarpSize; ++l) value[l] = static_cast<uint32_t>(sum[l]);
  set(w, i.result, value, active);
  if (i.outs) set_carries(w, i, sum, active);
}

// The third operand of a wide product, two registers.
uint64_t wide_addend(uint32_t low, uint32_t high, const Operand& o) {
  const uint64_t value = uint64_t{high} << 32 | low;
  return o.negate ? 0 - value : o.invert ? ~value : value;
}

void imad_wide(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb, s0, s1, low, high;
  const Lanes &a = integer(w, i.source[0], sa), &b = integer(w, i.source[1], sb);
  const Operand& c = i.source[2];
  const Lanes &c0 = bits(w, c, s0), &c1 = bits(w, c, s1, 1);
  const Mask carry = i.is.carry ? input(w, i, 0) : 0;
  uint64_t over[kWarpSize];
  for (int l = 0; l < kWarpSize; ++l) {
    const uint64_t product = i.is.is_unsigned
                                 ? uint64_t{a[l]} * b[l]
                                 : static_cast<uint64_t>(int64_t{static_cast<int32_t>(a[l])} *
                                                         static_cast<int32_t>(b[l]));
    const uint64_t added = wide_addend(c0[l], c1[l], c);
    const unsigned __int128 sum =
        static_cast<unsigned __int128>(product) + added + (has(carry, l) ? 1 : 0);
    over[l] = static_cast<uint64_t>(sum >> 64) << 32;
    low[l] = static_cast<uint32_t>(sum);
    high[l] = static_cast<uint32_t>(sum >> 32);
  }
  if (i.is.high) {
    set(w, i.result, high, active);
  } else {
    set(w, i.result, low, active);
    set(w, i.result, high, active, 1);
  }
  if (i.outs) set_carries(w, i, over, active);
}

void imad(Warp& w, const Instruction& i, Mask active) {
  if (i.is.wide || i.is.high) return imad_wide(w, i, active);
  if (i.outs) throw Unknown(i.opcode + " with a carry out is not implemented");
  const Mask carry = i.is.carry ? input(w, i, 0) : 0;
  if (!carry)
    return lanewise(w, i, active, integer, [](auto a, auto b, auto c) { return a * b + c; });
  Lanes sa, sb, sc, value;
  const Lanes &a = integer(w, i.source[0], sa), &b = integer(w, i.source[1], sb),
              &c = integer(w, i.source[2], sc);
  for (int l = 0; l < kWarpSize; ++l) value[l] = a[l] * b[l] + c[l] + has(carry, l);
  set(w, i.result, value, active);
}

// (a << shift) + b, or with HI the upper half of the 64-bit value (high:a) << shift, plus b.
void lea(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb, sc, ss, value;
  const bool upper = i.is.high && !i.is.sign_extended;
  const Lanes &a = integer(w, i.source[0], sa), &b = bits(w, i.source[1], sb),
              &high = upper ? integer(w, i.source[2], sc) : w.reg[kZeroRegister],
              &shifts = integer(w, i.source[upper ? 3 : 2], ss);
  const Mask carry = i.is.carry ? input(w, i, 0) : 0;
  uint64_t sum[kWarpSize];
  for (int l = 0; l < kWarpSize; ++l) {
    const uint32_t shift = shifts[l] & 31;
    uint64_t wide = uint64_t{high[l]} << 32 | a[l];
    if (i.is.sign_extended) wide = static_cast<uint64_t>(int64_t{static_cast<int32_t>(a[l])});
    const uint32_t shifted = i.is.high ? static_cast<uint32_t>(wide << shift >> 32) : a[l] << shift;
    sum[l] = uint64_t{shifted} + addend(b[l], i.source[1], i.is.carry) + has(carry, l);
    value[l] = static_cast<uint32_t>(sum[l]);
  }
  set(w, i.result, value, active);
  if (i.outs) set_carries(w, i, sum, active);
}

// A bit of `table` for every combination of three bits.
uint32_t look_up(uint32_t table, uint32_t a, uint32_t b, uint32_t c) {
  uint32_t value = 0;
  for (int k = 0; k < 8; ++k) {
    if (!(table >> k & 1)) continue;
    value |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
  }
  return value;
}

void lop3(Warp& w, const Instruction& i, Mask active) {
  const auto table = static_cast<uint32_t>(i.source[3].value);
  Lanes sa, sb, sc, value;
  const Lanes &a = integer(w, i.source[0], sa), &b = integer(w, i.source[1], sb),
              &c = integer(w, i.source[2], sc);
  const auto each = [&](auto function) {
    for (int l = 0; l < kWarpSize; ++l) value[l] = function(a[l], b[l], c[l]);
  };
  switch (table) {  // those that occur most
    case 0xc0:
      each([](auto a, auto b, auto) { return a & b; });
      break;
    case 0xfc:
      each([](auto a, auto b, auto) { return a | b; });
      break;
    case 0x3c:
      each([](auto a, auto b, auto) { return a ^ b; });
      break;
    case 0xf8:
      each([](auto a, auto b, auto c) { return a | (b & c); });
      break;
    default:
      each([table](auto a, auto b, auto c) { return look_up(table, a, b, c); });
  }
  set(w, i.result, value, active);
  if (i.outs)
    set_predicate(w, i.out[0], mask_of([&](int l) { return value[l] != 0; }) | input(w, i, 0),
                  active);
}

void plop3(Warp& w, const Instruction& i, Mask active) {
  const Mask a = predicate(w, i.in[0]), b = predicate(w, i.in[1]), c = predicate(w, i.in[2]);
  for (int n = 0; n < i.outs; ++n)
    set_predicate(w, i.out[n], look_up(static_cast<uint32_t>(i.source[n].value), a, b, c), active);
}

// Of the 64-bit value (high:low): the lower or upper half after a shift.
void shf(Warp& w, const Instruction& i, Mask active) {
  const uint32_t most = i.is.is_64 ? 63 : 32;
  lanewise(w, i, active, integer, [&](uint32_t low, uint32_t by, uint32_t high) {
    const uint32_t shift = i.is.wrap ? by & (i.is.is_64 ? 63 : 31) : std::min(by, most);
    const uint64_t value = uint64_t{high} << 32 | low;
    const uint64_t shifted = i.is.left ? value << shift
                             : i.is.is_unsigned
                                 ? value >> shift
                                 : static_cast<uint64_t>(static_cast<int64_t>(value) >> shift);
    return static_cast<uint32_t>(i.is.high ? shifted >> 32 : shifted);
  });
}

template <class T>
bool compares(Compare how, T a, T b) {
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
      return a != b;
    case Compare::kGreaterEqual:
      return a >= b;
    default:
      throw Unknown("an integer comparison with NaN");
  }
}

// With EX the operands are the upper halves, and the lower halves' result decides between equals.
void isetp(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb;
  const Lanes &a = integer(w, i.source[0], sa), &b = integer(w, i.source[1], sb);
  const Compare how = i.is.compare;
  Mask result = i.is.is_unsigned
                    ? mask_of([&](int l) { return compares<uint32_t>(how, a[l], b[l]); })
                    : mask_of([&](int l) { return compares<int32_t>(how, a[l], b[l]); });
  if (i.is.extended) {
    const Mask equal = mask_of([&](int l) { return a[l] == b[l]; });
    result = (result & ~equal) | (predicate(w, i.in[1]) & equal);
  }
  const Mask with = predicate(w, i.in[0]);
  set_predicate(w, i.out[0], combine(i.is.combine, result, with), active);
  set_predicate(w, i.out[1], combine(i.is.combine, ~result, with), active);
}

// The smaller where the predicate holds, otherwise the larger.
uint32_t extreme(bool is_unsigned, bool smaller, uint32_t a, uint32_t b) {
  const bool less = is_unsigned ? a < b : static_cast<int32_t>(a) < static_cast<int32_t>(b);
  return less == smaller ? a : b;
}

void vimnmx(Warp& w, const Instruction& i, Mask active) {
  const bool sum = i.name == "VIADDMNMX";
  Lanes sa, sb, sc, value;
  const Lanes &a = integer(w, i.source[0], sa), &b = integer(w, i.source[1], sb),
              &c = sum ? integer(w, i.source[2], sc) : b;
  const Mask smaller = predicate(w, i.in[0]);
  for (int l = 0; l < kWarpSize; ++l)
    value[l] = extreme(i.is.is_unsigned, has(smaller, l), sum ? a[l] + b[l] : a[l], c[l]);
  set(w, i.result, value, active);
}

void iabs(Warp& w, const Instruction& i, Mask active) {
  lanewise(w, i, active, integer,
           [](uint32_t a, uint32_t, uint32_t) { return static_cast<int32_t>(a) < 0 ? 0u - a : a; });
}

void viadd(Warp& w, const Instruction& i, Mask active) {
  lanewise(w, i, active, integer, [](uint32_t a, uint32_t b, uint32_t) { return a + b; });
}

void popc(Warp& w, const Instruction& i, Mask active) {
  lanewise(w, i, active, integer,
           [](uint32_t a, uint32_t, uint32_t) { return uint32_t(__builtin_popcount(a)); });
}

// The position of the highest bit that is set (of a negative signed number: not set); ~0: none.
void flo(Warp& w, const Instruction& i, Mask active) {
  const bool from_top = i.opcode.find(".SH") != std::string::npos;
  lanewise(w, i, active, integer, [&](uint32_t a, uint32_t, uint32_t) {
    if (!i.is.is_unsigned && static_cast<int32_t>(a) < 0) a = ~a;
    const uint32_t zeros = a ? __builtin_clz(a) : 32;
    return a == 0 ? 0xffffffffu : from_top ? zeros : 31 - zeros;
  });
}

void brev(Warp& w, const Instruction& i, Mask active) {
  lanewise(w, i, active, integer, [](uint32_t a, uint32_t, uint32_t) {
    uint32_t reversed = 0;
    for (int k = 0; k < 32; ++k) reversed |= (a >> k & 1) << (31 - k);
    return reversed;
  });
}

// Bytes chosen from two registers, by four bits each; the highest of them repeats the byte's sign.
void prmt(Warp& w, const Instruction& i, Mask active) {
  lanewise(w, i, active, integer, [](uint32_t a, uint32_t choice, uint32_t b) {
    const uint64_t bytes = uint64_t{b} << 32 | a;
    uint32_t value = 0;
    for (int k = 0; k < 4; ++k) {
      const uint32_t which = choice >> 4 * k;
      uint32_t byte = bytes >> 8 * (which & 7) & 0xff;
      if (which & 8) byte = byte & 0x80 ? 0xff : 0;
      value |= byte << 8 * k;
    }
    return value;
  });
}

}  // namespace

const Opcodes& integer_opcodes() {
  static const Opcodes opcodes = {{"IADD3", {iadd3}},
                                  {"IMAD", {imad, Pipe::kFmaHeavy}},
                                  {"LEA", {lea}},
                                  {"LOP3", {lop3}},
                                  {"PLOP3", {plop3}},
                                  {"SHF", {shf}},
                                  {"ISETP", {isetp}},
                                  {"VIMNMX", {vimnmx}},
                                  {"VIADDMNMX", {vimnmx}},
                                  {"IMNMX", {vimnmx}},
                                  {"IABS", {iabs}},
                                  {"VIADD", {viadd}},
                                  {"POPC", {popc, Pipe::kSpecial, 8}},
                                  {"FLO", {flo, Pipe::kSpecial, 8}},
                                  {"BREV", {brev, Pipe::kSpecial, 8}},
                                  {"PRMT", {prmt}}};
  return opcodes;
}

}  // namespace sass
