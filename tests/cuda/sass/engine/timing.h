// A model of the whole chip: how many cycles a launch takes. Its figures are simulated: they rank
// versions of a kernel and are not a GPU's milliseconds.
//
// Warps issue in order, by the stall counts and counters that the assembler wrote into the code.
// Four schedulers of a multiprocessor issue one instruction a cycle each, to pipes that take some
// cycles for each; shared memory serves a wavefront a cycle; global memory goes through the first
// level, the slices of the second and the channels of DRAM, each a queue. Instructions are always
// at hand, and launching costs nothing.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "chip.h"
#include "machine.h"

namespace sass {

// Why a scheduler issued nothing in a cycle.
enum class Stall : uint8_t {
  kNone,
  kDependency,
  kGlobal,
  kShared,
  kSpecial,
  kCopies,
  kBarrier,
  kTensorPipe,
  kAluPipe,
  kOtherPipe,
  kMemoryQueue,
  kStart,
  kNoWarp,
};
constexpr int kStalls = 13;
const char* stall_name(Stall stall);

struct Timing {
  std::string kernel;
  uint64_t blocks = 0, blocks_at_once = 0;  // the latter per multiprocessor
  double cycles = 0;
  uint64_t instructions = 0, products = 0;
  uint64_t wavefronts = 0, least_wavefronts = 0;  // of shared memory; without conflicts
  uint64_t l2_bytes = 0, dram_bytes = 0;
  std::array<double, kStalls> slots{};  // scheduler cycles by what became of them
};

extern ChipModel chip;
extern std::vector<Timing> timings;  // of the launches since it was cleared

// Runs a launch on the modelled chip: each instruction at the cycle it is issued in.
void run_timed(const Launch& launch);

}  // namespace sass
