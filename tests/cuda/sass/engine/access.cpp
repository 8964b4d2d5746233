// Loads, stores and asynchronous copies.
#include <cstring>

#include "operands.h"

namespace sass {
namespace {

constexpr int kMostWords = 4;

const Operand& address_of(const Instruction& i, int which = 0) {
  for (int n = 0; n < i.sources; ++n)
    if (i.source[n].kind == Kind::kMemory && which-- == 0) return i.source[n];
  throw Unknown(i.opcode + " without an address");
}

// The sum of a scaled register, which may be a pair, a uniform register and an offset.
uint64_t address(const Warp& w, const Operand& o, int l) {
  uint64_t sum = 0;
  if (o.index != kZeroRegister) {
    sum = uint64_t{w.reg[o.index][l]} * o.scale;
    if (o.wide) sum += uint64_t{w.reg[o.index + 1][l]} << 32;
  }
  if (o.uniform >= 0 && o.uniform != kZeroRegister) {
    sum += w.uniform[o.uniform][l];
    if (o.wide && o.index == kZeroRegister) sum += uint64_t{w.uniform[o.uniform + 1][l]} << 32;
  }
  return sum + static_cast<uint64_t>(o.value);
}

uint32_t shared_address(const Warp& w, const Operand& o, int l) {
  return static_cast<uint32_t>(address(w, o, l));
}

void note(int bytes, Mask lanes) {
  machine.access.bytes = bytes;
  machine.access.lanes = lanes;
}

// Calls move(lane, address) for every active lane, and says of a fault which lane it was.
template <class Address, class Move>
void each_lane(const Warp& w, const Instruction& i, Mask active, int bytes, const Address& where,
               const Move& move) {
  note(bytes, active);
  const Operand& o = address_of(i);
  for (Mask left = active; left; left &= left - 1) {
    const int l = __builtin_ctz(left);
    const auto at = where(w, o, l);
    machine.access.address[l] = at;
    try {
      move(l, at);
    } catch (const Fault& fault) {
      throw Fault(std::string(fault.what()) + ", lane " + std::to_string(l));
    }
  }
}

uint32_t extended(uint32_t value, const Modifiers& is) {
  if (!is.sign_extended) return value;
  return is.bytes == 1 ? static_cast<int8_t>(value) : static_cast<int16_t>(value);
}

void put(Warp& w, const Instruction& i, int l, const uint32_t (&words)[kMostWords]) {
  if (i.is.bytes < 4) {
    destination(w, i.result)[l] = extended(words[0], i.is);
    return;
  }
  for (int n = 0; n < i.is.bytes / 4; ++n) destination(w, i.result, n)[l] = words[n];
}

// The value that a store writes is its last source.
void get(const Warp& w, const Instruction& i, int l, uint32_t (&words)[kMostWords]) {
  const Operand& o = i.source[i.sources - 1];
  for (int n = 0; n < (i.is.bytes + 3) / 4; ++n) {
    Lanes scratch;
    words[n] = bits(w, o, scratch, n)[l];
  }
}

void ldg(Warp& w, const Instruction& i, Mask active) {
  each_lane(w, i, active, i.is.bytes, address, [&](int l, uint64_t at) {
    uint32_t words[kMostWords] = {};
    check_global(at, i.is.bytes);
    std::memcpy(words, reinterpret_cast<const void*>(at), i.is.bytes);
    put(w, i, l, words);
  });
}

void stg(Warp& w, const Instruction& i, Mask active) {
  each_lane(w, i, active, i.is.bytes, address, [&](int l, uint64_t at) {
    uint32_t words[kMostWords];
    get(w, i, l, words);
    check_global(at, i.is.bytes);
    std::memcpy(reinterpret_cast<void*>(at), words, i.is.bytes);
  });
}

void lds(Warp& w, const Instruction& i, Mask active) {
  each_lane(w, i, active, i.is.bytes, shared_address, [&](int l, uint32_t at) {
    uint32_t words[kMostWords] = {};
    w.block->shared.read(at, i.is.bytes, words, w.number);
    put(w, i, l, words);
  });
}

void sts(Warp& w, const Instruction& i, Mask active) {
  each_lane(w, i, active, i.is.bytes, shared_address, [&](int l, uint32_t at) {
    uint32_t words[kMostWords];
    get(w, i, l, words);
    w.block->shared.write(at, i.is.bytes, words, w.number);
  });
}

// Adds to global memory; the result is what was there.
void atomg(Warp& w, const Instruction& i, Mask active) {
  if (i.opcode.find("ADD") == std::string::npos || i.is.is_64 ||
      i.opcode.find(".F") != std::string::npos)
    throw Unknown(i.opcode + " is not implemented");
  each_lane(w, i, active, 4, address, [&](int l, uint64_t at) {
    uint32_t words[kMostWords];
    get(w, i, l, words);
    check_global(at, 4);
    uint32_t before;
    std::memcpy(&before, reinterpret_cast<const void*>(at), 4);
    const uint32_t after = before + words[0];
    std::memcpy(reinterpret_cast<void*>(at), &after, 4);
    if (i.result.kind != Kind::kNone) destination(w, i.result)[l] = before;
  });
}

// cp.async of 16 bytes. The copy lands as late as the rules allow: when its group is waited for.
void ldgsts(Warp& w, const Instruction& i, Mask active) {
  if (i.is.bytes != kCopyBytes) throw Unknown(i.opcode + " is not implemented");
  const Mask valid = i.ins ? predicate(w, i.in[0]) : kAllLanes;
  const Operand& from = address_of(i, 1);
  each_lane(w, i, active, kCopyBytes, shared_address, [&](int l, uint32_t to) {
    Copy copy{to, 0};
    if (has(valid, l)) {
      copy.from = address(w, from, l);
      check_global(copy.from, kCopyBytes);
      machine.access.address[l] = copy.from;
    }
    w.block->shared.copy_begins(to, w.number);
    w.open_copies.push_back(copy);
  });
  machine.access.lanes = active & valid;
}

void commit(Warp& w, const Instruction&, Mask) {
  w.copy_groups.push_back(std::move(w.open_copies));
  w.open_copies.clear();
}

void wait(Warp& w, const Instruction& i, Mask) {
  if (i.opcode != "DEPBAR.LE") throw Unknown(i.opcode + " is not implemented");
  const size_t pending = i.sources > 1 ? static_cast<size_t>(i.source[1].value) : 0;
  for (; w.copy_groups.size() > pending; w.copy_groups.pop_front())
    for (const Copy& copy : w.copy_groups.front())
      w.block->shared.copy_lands(copy.to, reinterpret_cast<const void*>(copy.from), w.number);
}

}  // namespace

const Opcodes& memory_opcodes() {
  const auto memory = [](Execute execute) { return Opcode{execute, Pipe::kMemory, 1}; };
  static const Opcodes opcodes = {{"LDG", memory(ldg)},
                                  {"STG", memory(stg)},
                                  {"LDS", memory(lds)},
                                  {"STS", memory(sts)},
                                  {"ATOMG", memory(atomg)},
                                  {"RED", memory(atomg)},
                                  {"LDGSTS", memory(ldgsts)},
                                  {"LDGDEPBAR", {commit, Pipe::kControl, 1}},
                                  {"DEPBAR", {wait, Pipe::kControl, 1}}};
  return opcodes;
}

}  // namespace sass
