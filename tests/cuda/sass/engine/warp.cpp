#include "warp.h"

#include <algorithm>

#include "machine.h"
#include "operands.h"

namespace sass {

void Warp::start(Block& of, int warp_number, int threads, int registers) {
  block = &of;
  number = warp_number;
  const int lanes = std::min(kWarpSize, threads - warp_number * kWarpSize);
  live = lanes == kWarpSize ? kAllLanes : (1u << lanes) - 1;
  at_barrier = false;
  converged = true;
  next = 0;
  waiting = 0;
  // Registers hold NaN until they are written. Loads of 16 bytes may name registers beyond the
  // last.
  std::fill_n(reg, std::min(registers + 4, 255), broadcast(0xffffffffu));
  reg[kZeroRegister] = broadcast(0);
  std::fill_n(uniform, kUniformZero, broadcast(0xffffffffu));
  uniform[kUniformZero] = broadcast(0);
  std::fill_n(predicate, kTrue, 0xdeadbeefu);
  std::fill_n(uniform_predicate, kTrue, 0u);
  std::fill_n(members, kConvergenceBarriers, 0u);
  open_copies.clear();
  copy_groups.clear();
}

// The lowest address goes first: loops and branches then meet again where they should.
Mask Warp::group(int& index) const {
  if (converged) {
    index = next;
    return live;
  }
  index = INT32_MAX;
  Mask lanes = 0;
  for (Mask ready = live & ~waiting; ready; ready &= ready - 1) {
    const int lane = __builtin_ctz(ready);
    if (lane_next[lane] < index) {
      index = lane_next[lane];
      lanes = 0;
    }
    if (lane_next[lane] == index) lanes |= 1u << lane;
  }
  return lanes;
}

void Warp::set_next(Mask lanes, int index) {
  if (converged && lanes == live) {
    next = index;
    return;
  }
  diverge();
  for (; lanes; lanes &= lanes - 1) lane_next[__builtin_ctz(lanes)] = index;
}

void Warp::diverge() {
  if (!converged) return;
  std::fill_n(lane_next, kWarpSize, next);
  converged = false;
}

void Warp::reconverge() {
  if (converged || waiting || !live) return;
  const int first = lane_next[__builtin_ctz(live)];
  for (Mask lanes = live; lanes; lanes &= lanes - 1)
    if (lane_next[__builtin_ctz(lanes)] != first) return;
  converged = true;
  next = first;
}

void Warp::release(int barrier) {
  Mask at = 0;
  for (Mask lanes = waiting; lanes; lanes &= lanes - 1) {
    const int lane = __builtin_ctz(lanes);
    if (waits_at[lane] == barrier) at |= 1u << lane;
  }
  if (at && (members[barrier] & live & ~at) == 0) waiting &= ~at;
}

namespace {

// Where the lanes of `taken` go, and the rest of the group onwards.
void branch(Warp& w, Mask group, Mask taken, int target, int from) {
  if (taken == group) {
    w.set_next(group, target);
  } else if (taken == 0) {
    w.set_next(group, from + 1);
  } else {
    w.diverge();
    w.set_next(taken, target);
    w.set_next(group & ~taken, from + 1);
  }
}

Mask with_predicates(const Warp& w, const Instruction& i, Mask active) {
  for (int n = 0; n < i.ins; ++n) active &= predicate(w, i.in[n]);
  return active;
}

int target_of(const Instruction& i) {
  for (int n = 0; n < i.sources; ++n)
    if (i.source[n].kind == Kind::kTarget) return static_cast<int>(i.source[n].value);
  throw Unknown(i.opcode + " without a target");
}

int barrier_of(const Instruction& i) {
  for (int n = 0; n < i.sources; ++n)
    if (i.source[n].kind == Kind::kBarrier) return i.source[n].index;
  throw Unknown(i.opcode + " without a barrier");
}

// To the address in a register, which may differ from lane to lane.
void return_to(Warp& w, const Instruction& i, Mask group, Mask active) {
  const Lanes& to = w.reg[i.source[0].index];
  w.set_next(group & ~active, i.index + 1);
  for (Mask left = active; left;) {
    const uint32_t address = to[__builtin_ctz(left)];
    const Mask same = left & mask_of([&](int l) { return to[l] == address; });
    w.set_next(same, static_cast<int>(address / kInstructionBytes));
    left &= ~same;
  }
}

void exit_lanes(Warp& w, const Instruction& i, Mask group, Mask active) {
  if (active == w.live) {
    w.live = 0;
    return;
  }
  w.diverge();
  w.live &= ~active;
  w.set_next(group & ~active, i.index + 1);
  for (int b = 0; b < kConvergenceBarriers; ++b) w.release(b);
}

void sync(Warp& w, const Instruction& i, Mask group, Mask active) {
  w.set_next(group, i.index + 1);
  if (w.converged || !active) return;
  const int barrier = barrier_of(i);
  for (Mask lanes = active; lanes; lanes &= lanes - 1)
    w.waits_at[__builtin_ctz(lanes)] = static_cast<uint8_t>(barrier);
  w.waiting |= active;
  w.release(barrier);
}

void block_barrier(Warp& w, const Instruction& i, Mask group) {
  if (i.is.variant != 'S') throw Unknown(i.opcode + " is not implemented");
  if (i.source[0].kind != Kind::kImmediate || i.source[0].value != 0)
    throw Unknown("named barriers are not implemented: " + place(w, i));
  if (group != w.live) throw Fault("a barrier that part of a warp reaches");
  w.at_barrier = true;
  w.set_next(group, i.index + 1);
}

void flow(Warp& w, const Instruction& i, Mask group, Mask active, Step& step) {
  switch (i.flow) {
    case Flow::kBranch: {
      const Mask taken = with_predicates(w, i, active);
      step.taken = taken != 0;
      branch(w, group, taken, target_of(i), i.index);
      break;
    }
    case Flow::kCall:
      step.taken = active != 0;
      branch(w, group, active, target_of(i), i.index);
      break;
    case Flow::kReturn:
      step.taken = active != 0;
      return_to(w, i, group, active);
      break;
    case Flow::kExit:
      exit_lanes(w, i, group, active);
      break;
    case Flow::kPush:
      if (active) w.members[barrier_of(i)] = active;
      w.set_next(group, i.index + 1);
      break;
    case Flow::kSync:
      sync(w, i, group, active);
      break;
    case Flow::kBreak:
      w.members[barrier_of(i)] &= ~with_predicates(w, i, active);
      w.set_next(group, i.index + 1);
      w.release(barrier_of(i));
      break;
    case Flow::kBarrier:
      block_barrier(w, i, group);
      break;
    default:  // BRA.DIV leads to code for divergent warps, which need none here
      w.set_next(group, i.index + 1);
  }
}

}  // namespace

Step step(Warp& w, const std::vector<Instruction>& code) {
  int index;
  const Mask group = w.group(index);
  if (!group) throw Fault("deadlock: lanes wait for each other in " + machine.launch.kernel->name);
  if (index >= static_cast<int>(code.size())) throw Fault("the end of the code is passed");
  const Instruction& i = code[index];
  Step step{&i, group & predicate(w, i.guard), false};
  ++machine.counts.instructions;
  machine.access.lanes = 0;
  try {
    if (i.flow != Flow::kNone) {
      flow(w, i, group, step.active, step);
    } else {
      if (step.active) i.execute(w, i, step.active);
      w.set_next(group, i.index + 1);
    }
  } catch (const Fault& fault) {
    throw Fault(std::string(fault.what()) + ": " + place(w, i));
  }
  if (!w.converged) w.reconverge();
  return step;
}

namespace {

void nothing(Warp&, const Instruction&, Mask) {}

}  // namespace

const Opcodes& control_opcodes() {
  const auto of = [](Flow flow) { return Opcode{nothing, Pipe::kControl, 1, flow}; };
  static const Opcodes opcodes = {
      {"BRA", of(Flow::kBranch)},
      {"CALL", of(Flow::kCall)},
      {"RET", of(Flow::kReturn)},
      {"EXIT", of(Flow::kExit)},
      {"BSSY", of(Flow::kPush)},
      {"BSYNC", of(Flow::kSync)},
      {"BREAK", of(Flow::kBreak)},
      {"BAR", of(Flow::kBarrier)},
      {"NOP", of(Flow::kNone)},
      {"WARPSYNC", of(Flow::kNone)},
      {"ENDCOLLECTIVE", of(Flow::kNone)},
      {"YIELD", of(Flow::kNone)},
      {"MEMBAR", of(Flow::kNone)},
      {"ERRBAR", of(Flow::kNone)},
      {"CGAERRBAR", of(Flow::kNone)},
      {"CCTL", of(Flow::kNone)},
      // Launches run one after another: a dependent one finds all of the earlier one done.
      {"ACQBULK", of(Flow::kNone)},
      {"PREEXIT", of(Flow::kNone)}};
  return opcodes;
}

}  // namespace sass
