// Moving values between registers, lanes, predicates and constants.
#include <cstring>

#include "operands.h"

namespace sass {
namespace {

void mov(Warp& w, const Instruction& i, Mask active) {
  Lanes scratch;
  set(w, i.result, bits(w, i.source[0], scratch), active);
}

void select(Warp& w, const Instruction& i, Mask active) {
  const bool as_float = i.name == "FSEL";
  Lanes sa, sb, value;
  const Lanes& a = as_float ? real(w, i.source[0], sa) : integer(w, i.source[0], sa);
  const Lanes& b = as_float ? real(w, i.source[1], sb) : integer(w, i.source[1], sb);
  const Mask first = predicate(w, i.in[0]);
  for (int l = 0; l < kWarpSize; ++l) value[l] = has(first, l) ? a[l] : b[l];
  set(w, i.result, value, active);
}

Lanes special(const Warp& w, Special which) {
  const Size3 &size = machine.launch.block, &block = w.block->index;
  Lanes value = broadcast(0);
  const uint32_t first = static_cast<uint32_t>(w.number) * kWarpSize;
  for (int l = 0; l < kWarpSize; ++l) {
    const uint32_t thread = first + l;
    switch (which) {
      case Special::kThreadX:
        value[l] = thread % size.x;
        break;
      case Special::kThreadY:
        value[l] = thread / size.x % size.y;
        break;
      case Special::kThreadZ:
        value[l] = thread / (size.x * size.y);
        break;
      case Special::kBlockX:
        value[l] = block.x;
        break;
      case Special::kBlockY:
        value[l] = block.y;
        break;
      case Special::kBlockZ:
        value[l] = block.z;
        break;
      case Special::kLane:
        value[l] = l;
        break;
      case Special::kZero:
      case Special::kCluster:
        break;  // every block is a cluster of its own
    }
  }
  return value;
}

void s2r(Warp& w, const Instruction& i, Mask active) {
  set(w, i.result, special(w, i.source[0].special), active);
}

void cs2r(Warp& w, const Instruction& i, Mask active) {
  const Lanes value = special(w, i.source[0].special);
  set(w, i.result, value, active);
  if (i.opcode != "CS2R.32") set(w, i.result, broadcast(0), active, 1);
}

// The result may overwrite the register that holds the address: all is read first.
void ldc(Warp& w, const Instruction& i, Mask active) {
  const uint32_t keep = i.is.bytes == 1 ? 0xff : i.is.bytes == 2 ? 0xffff : 0xffffffffu;
  const int words = (i.is.bytes + 3) / 4;
  Lanes value[4], scratch;
  for (int word = 0; word < words; ++word) {
    value[word] = read_constant(w, i.source[0], word, scratch, active);
    for (uint32_t& v : value[word].value) {
      v &= keep;
      if (i.is.sign_extended) v = i.is.bytes == 1 ? int8_t(v) : int16_t(v);
    }
  }
  for (int word = 0; word < words; ++word) set(w, i.result, value[word], active, word);
}

void r2ur(Warp& w, const Instruction& i, Mask active) {
  Lanes scratch;
  const Lanes& from = integer(w, i.source[0], scratch);
  set(w, i.result, broadcast(from[__builtin_ctz(active)]), active);
}

// Predicates to the bits of a register that a mask names.
void p2r(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb, value;
  const Lanes &a = integer(w, i.source[0], sa), &named = integer(w, i.source[1], sb);
  for (int l = 0; l < kWarpSize; ++l) {
    uint32_t all = 0;
    for (int k = 0; k < kTrue; ++k) all |= uint32_t{has(w.predicate[k], l)} << k;
    value[l] = (a[l] & ~named[l]) | (all & named[l]);
  }
  set(w, i.result, value, active);
}

void r2p(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb;
  const Lanes &a = integer(w, i.source[0], sa), &named = integer(w, i.source[1], sb);
  for (int k = 0; k < kTrue; ++k) {
    const Mask changed = active & mask_of([&](int l) { return named[l] >> k & 1; });
    w.predicate[k] =
        (w.predicate[k] & ~changed) | (changed & mask_of([&](int l) { return a[l] >> k & 1; }));
  }
}

void vote(Warp& w, const Instruction& i, Mask active) {
  const Mask held = predicate(w, i.in[0]) & active;
  if (i.result.kind != Kind::kNone) set(w, i.result, broadcast(held), active);
  if (!i.outs) return;
  const bool all = i.is.variant == 'A' && i.opcode.find("ALL") != std::string::npos;
  set_predicate(w, i.out[0], (all ? held == active : held != 0) ? kAllLanes : 0, active);
}

// The lane that lane `l` reads: `limit` holds the last lane of a segment, and the mask that makes
// segments.
int shuffled(char how, int l, uint32_t by, uint32_t limit, bool& within) {
  const auto lane = static_cast<uint32_t>(l);
  by &= 31;
  const uint32_t segment = limit >> 8 & 31;
  const uint32_t first = lane & segment, last = first | (limit & 31 & ~segment);
  int from = 0;
  switch (how) {
    case 'D':
      from = l + static_cast<int>(by);
      break;
    case 'B':
      from = l ^ static_cast<int>(by);
      break;
    case 'I':
      from = static_cast<int>(first | (by & ~segment));
      break;
    case 'U':
      from = l - static_cast<int>(by);
      break;
    default:
      throw Unknown("a shuffle of this kind is not implemented");
  }
  // Upwards `last` is the first lane.
  within = how == 'U' ? from >= static_cast<int>(last) : from <= static_cast<int>(last);
  return within ? from : l;
}

void shfl(Warp& w, const Instruction& i, Mask active) {
  Lanes sa, sb, sc, value;
  const Lanes &a = integer(w, i.source[0], sa), &by = integer(w, i.source[1], sb),
              &limit = integer(w, i.source[2], sc);
  Mask reached = 0;
  for (int l = 0; l < kWarpSize; ++l) {
    bool within;
    const int from = shuffled(i.is.variant, l, by[l], limit[l], within);
    if (has(active, l) && !has(active, from & 31))
      throw Fault("shuffle from lane " + std::to_string(from) + ", which takes no part");
    value[l] = a[from & 31];
    reached |= Mask{within} << l;
  }
  set(w, i.result, value, active);
  if (i.outs) set_predicate(w, i.out[0], reached, active);
}

}  // namespace

const Opcodes& move_opcodes() {
  static const Opcodes opcodes = {{"MOV", {mov}},
                                  {"SEL", {select}},
                                  {"FSEL", {select}},
                                  {"S2R", {s2r, Pipe::kControl, 1}},
                                  {"S2UR", {s2r, Pipe::kUniform}},
                                  {"CS2R", {cs2r}},
                                  {"LDC", {ldc, Pipe::kControl, 1}},
                                  {"R2UR", {r2ur}},
                                  {"P2R", {p2r}},
                                  {"R2P", {r2p}},
                                  {"VOTE", {vote}},
                                  {"VOTEU", {vote}},
                                  {"SHFL", {shfl, Pipe::kMemory, 1}}};
  return opcodes;
}

}  // namespace sass
