// A warp's registers and where its lanes are.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "program.h"

namespace sass {

struct Block;

// cp.async under way: 16 bytes to shared memory, from global memory or zeros.
struct Copy {
  uint32_t to;
  uint64_t from;  // 0: zeros
};

constexpr int kConvergenceBarriers = 16;
constexpr int kUniformRegisters = 64;

struct Warp {
  Lanes reg[256];
  Lanes uniform[kUniformRegisters];  // the same value in all lanes
  Lanes discarded;
  Mask predicate[8], uniform_predicate[8];

  Block* block;
  int number;  // within the block
  Mask live;
  bool at_barrier;

  // While converged all live lanes are at `next`; otherwise each is at lane_next[lane], and those
  // of `waiting` are at a BSYNC until all of the convergence barrier's members are.
  bool converged;
  int next;
  int lane_next[kWarpSize];
  Mask waiting;
  uint8_t waits_at[kWarpSize];
  Mask members[kConvergenceBarriers];

  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copy_groups;

  void start(Block& of, int warp_number, int threads, int registers);
  bool done() const { return live == 0; }

  // The lanes that execute next, and the instruction's index.
  Mask group(int& index) const;
  void set_next(Mask lanes, int index);
  void diverge();
  // Joins lanes that have met.
  void reconverge();
  // Lets go on who waits at a convergence barrier that nobody else will reach.
  void release(int barrier);
};

// Executes one instruction; the group's lanes move on. Throws Fault.
struct Step {
  const Instruction* instruction;
  Mask active;
  bool taken;  // a branch
};
Step step(Warp& warp, const std::vector<Instruction>& code);

}  // namespace sass
