#include "timing.h"

#include <algorithm>
#include <deque>
#include <queue>

#include "multiprocessor.h"

namespace sass {

ChipModel chip;
std::vector<Timing> timings;

const char* stall_name(Stall stall) {
  static const char* const names[] = {
      "issued",       "dependency",  "global memory", "shared memory", "special unit",
      "cp.async",     "barrier",     "tensor pipe",   "alu pipe",      "other pipe",
      "memory queue", "block start", "no warp"};
  return names[static_cast<int>(stall)];
}

namespace {

// Blocks that a multiprocessor runs at once.
int occupancy(const Launch& launch) {
  constexpr int kMostBlocks = 32, kMostThreads = 2048, kRegisters = 65536, kShared = 228 << 10;
  const int warps = static_cast<int>((launch.block.count() + kWarpSize - 1) / kWarpSize);
  const int registers = (launch.kernel->registers + 7) / 8 * 8 * kWarpSize * warps;
  const auto shared =
      std::max<uint64_t>(launch.kernel->shared, kSharedBegin) + launch.dynamic_shared;
  const int blocks = std::min({kMostBlocks, kMostThreads / (warps * kWarpSize),
                               kRegisters / std::max(registers, 1),
                               static_cast<int>(kShared / ((shared + 127) / 128 * 128))});
  if (blocks < 1) throw Fault("a block of " + launch.kernel->name + " fits on no multiprocessor");
  return blocks;
}

struct Wake {
  uint64_t time;
  int multiprocessor;
  bool operator>(const Wake& other) const {
    return time != other.time ? time > other.time : multiprocessor > other.multiprocessor;
  }
};

}  // namespace

void run_timed(const Launch& launch) {
  Timing timing;
  timing.kernel = launch.kernel->name;
  timing.blocks = launch.grid.count();
  const Counts before = machine.counts;
  SharedLevel level(chip);
  SharedMemory::checked = false;
  BlockQueue blocks{timing.blocks};
  std::deque<Multiprocessor> all;  // which are not moved
  for (int i = 0; i < chip.multiprocessors; ++i) all.emplace_back(chip, level, blocks, timing);
  const int at_once = occupancy(launch);
  timing.blocks_at_once = at_once;
  for (int round = 0; round < at_once; ++round)
    for (Multiprocessor& one : all) one.take_block(0);
  std::priority_queue<Wake, std::vector<Wake>, std::greater<>> wakes;
  for (int i = 0; i < chip.multiprocessors; ++i)
    if (all[i].busy()) wakes.push({0, i});
  while (!wakes.empty()) {
    const Wake wake = wakes.top();
    wakes.pop();
    Multiprocessor& one = all[wake.multiprocessor];
    const uint64_t next = one.cycle(wake.time);
    timing.cycles = std::max(timing.cycles, static_cast<double>(wake.time));
    if (one.busy()) wakes.push({next, wake.multiprocessor});
  }
  SharedMemory::checked = true;
  timing.instructions = machine.counts.instructions - before.instructions;
  timing.products = machine.counts.products - before.products;
  timing.l2_bytes = level.sectors * kSectorBytes;
  timing.dram_bytes = level.dram_sectors * kSectorBytes;
  timings.push_back(timing);
}

}  // namespace sass
