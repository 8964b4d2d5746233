// One multiprocessor of the modelled chip: its warps, schedulers, pipes and first-level cache.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <unordered_set>
#include <vector>

#include "chip.h"
#include "machine.h"
#include "timing.h"

namespace sass {

constexpr int kSchedulers = 4;
constexpr int kCounters = 6;  // that instructions set and wait for

// The blocks of a launch that nobody has taken yet.
struct BlockQueue {
  uint64_t count;
  uint64_t next = 0;
};

struct TimedWarp {
  Warp* warp;
  uint64_t ready = 0;  // by stall counts and barriers
  bool started = false;
  std::array<double, kCounters> clears{};
  std::array<Stall, kCounters> because{};
  double copies_land = 0;          // of those issued so far
  std::deque<double> groups_land;  // of those committed
};

class Multiprocessor {
 public:
  Multiprocessor(const ChipModel& model, SharedLevel& level, BlockQueue& blocks, Timing& timing)
      : model_(model), level_(level), blocks_(blocks), timing_(timing) {}

  // Begins the launch's next block, if there is one.
  void take_block(uint64_t now);
  bool busy() const { return !running_.empty(); }

  // What happens in a cycle; the next one in which something can.
  uint64_t cycle(uint64_t now);

 private:
  struct Scheduler {
    std::vector<std::unique_ptr<TimedWarp>> warps;
    size_t turn = 0;
    std::array<double, kPipes> free{};  // when each pipe takes the next instruction
    std::deque<double> queued;          // when the memory pipe takes those that wait for it
  };
  struct Candidate {
    double time;
    Stall because;
  };
  // When an instruction's results are there, and when its operands have been read.
  struct Times {
    double result, read;
    Stall because;
  };

  bool schedule(Scheduler& scheduler, uint64_t now, double& earliest, Stall& because);
  Candidate ready(const Scheduler& scheduler, const TimedWarp& warp) const;
  void issue(Scheduler& scheduler, TimedWarp& warp, uint64_t now);
  Times execute(Scheduler& scheduler, TimedWarp& warp, const Step& step, uint64_t now);
  Times access_shared(Scheduler& scheduler, bool shuffle, uint64_t now);
  Times access_global(Scheduler& scheduler, TimedWarp& warp, const Instruction& i, uint64_t now);
  void settle_block(Block& block, uint64_t now);
  void end_block(Block& block, uint64_t now);

  const ChipModel& model_;
  SharedLevel& level_;
  BlockQueue& blocks_;
  Timing& timing_;
  std::array<Scheduler, kSchedulers> schedulers_;
  std::vector<Block*> running_;
  std::vector<Block*> settling_;  // whose warps came to a barrier or ended in this cycle
  double shared_free_ = 0, tags_free_ = 0, port_free_ = 0;
  std::unordered_set<uint64_t> l1_;  // sectors
};

}  // namespace sass
