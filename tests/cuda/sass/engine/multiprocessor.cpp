#include "multiprocessor.h"

#include <algorithm>
#include <cmath>

namespace sass {
namespace {

constexpr double kNever = 1e18;
constexpr int kBranchCycles = 6;    // a taken branch on top of its stall count
constexpr int kBarrierCycles = 14;  // from the last arrival to going on
constexpr int kBlockStartCycles = 30;
constexpr int kQueueEntries = 8;     // of a scheduler's memory instructions
constexpr size_t kL1Sectors = 4096;  // 128 KB
constexpr double kFixedLatency = 4, kSpecialLatency = 24, kConstantLatency = 30,
                 kDoubleLatency = 16;
constexpr double kSharedLatency = 22, kOperandsRead = 8;

// Passes that shared memory needs: lanes of 128 bytes go at a time, and of each of the 32 banks one
// word in each pass.
int wavefronts(const Access& access) {
  constexpr int kBanks = 32;
  const int words = std::max(access.bytes / 4, 1), lanes = kBanks / words;
  int passes = 0;
  for (int first = 0; first < kWarpSize; first += lanes) {
    uint32_t seen[kBanks][kWarpSize];
    int count[kBanks] = {}, most = 0;
    for (int l = first; l < first + lanes; ++l) {
      if (!has(access.lanes, l)) continue;
      for (int n = 0; n < words; ++n) {
        const auto word = static_cast<uint32_t>(access.address[l] / 4 + n);
        const int bank = word % kBanks;
        if (std::find(seen[bank], seen[bank] + count[bank], word) != seen[bank] + count[bank])
          continue;
        seen[bank][count[bank]++] = word;
        most = std::max(most, count[bank]);
      }
    }
    passes += most;
  }
  return std::max(passes, 1);
}

int least_wavefronts(const Access& access) {
  return std::max((__builtin_popcount(access.lanes) * access.bytes + 127) / 128, 1);
}

// The sectors that a warp's access touches, each once.
std::vector<uint64_t> sectors_of(const Access& access) {
  std::vector<uint64_t> sectors;
  for (int l = 0; l < kWarpSize; ++l)
    if (has(access.lanes, l)) sectors.push_back(access.address[l] / kSectorBytes);
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  return sectors;
}

Stall pipe_stall(Pipe pipe) {
  return pipe == Pipe::kTensor ? Stall::kTensorPipe
         : pipe == Pipe::kAlu  ? Stall::kAluPipe
                               : Stall::kOtherPipe;
}

}  // namespace

void Multiprocessor::take_block(uint64_t now) {
  if (blocks_.next == blocks_.count) return;
  Block& block = block_pool().take(blocks_.next++);
  running_.push_back(&block);
  for (Warp* warp : block.warps) {
    auto& to = *std::min_element(
        schedulers_.begin(), schedulers_.end(),
        [](const auto& a, const auto& b) { return a.warps.size() < b.warps.size(); });
    auto timed = std::make_unique<TimedWarp>();
    timed->warp = warp;
    timed->ready = now + kBlockStartCycles;
    to.warps.push_back(std::move(timed));
  }
}

// When the warp can issue, and what it waits for until then.
Multiprocessor::Candidate Multiprocessor::ready(const Scheduler& s, const TimedWarp& warp) const {
  int index;
  warp.warp->group(index);
  const Instruction& i = machine.launch.kernel->code[index];
  Candidate at{static_cast<double>(warp.ready), warp.started ? Stall::kDependency : Stall::kStart};
  const auto until = [&](double time, Stall because) {
    if (time > at.time) at = {time, because};
  };
  for (int n = 0; n < kCounters; ++n)
    if (i.control.wait_mask >> n & 1) until(warp.clears[n], warp.because[n]);
  if (i.role == Role::kWait) {
    const size_t pending = i.sources > 1 ? static_cast<size_t>(i.source[1].value) : 0;
    if (warp.groups_land.size() > pending)
      until(warp.groups_land[warp.groups_land.size() - 1 - pending], Stall::kCopies);
  }
  if (i.pipe == Pipe::kMemory) {
    if (s.queued.size() == kQueueEntries) until(s.queued.front(), Stall::kMemoryQueue);
  } else if (i.pipe != Pipe::kControl) {
    until(s.free[static_cast<int>(i.pipe)], pipe_stall(i.pipe));
  }
  return at;
}

bool Multiprocessor::schedule(Scheduler& s, uint64_t now, double& earliest, Stall& because) {
  earliest = kNever;
  because = s.warps.empty() ? Stall::kNoWarp : Stall::kBarrier;
  const size_t count = s.warps.size();
  for (size_t n = 0; n < count; ++n) {
    const size_t which = (s.turn + n) % count;
    TimedWarp& warp = *s.warps[which];
    if (warp.warp->done() || warp.warp->at_barrier) continue;
    const Candidate at = ready(s, warp);
    if (at.time <= static_cast<double>(now)) {
      s.turn = which;  // the same warp goes on for as long as it can
      issue(s, warp, now);
      return true;
    }
    if (at.time < earliest) {
      earliest = at.time;
      because = at.because;
    }
  }
  return false;
}

uint64_t Multiprocessor::cycle(uint64_t now) {
  bool issued = false;
  double next = kNever;
  std::array<Stall, kSchedulers> reason;
  for (int n = 0; n < kSchedulers; ++n) {
    double earliest;
    if (schedule(schedulers_[n], now, earliest, reason[n])) {
      reason[n] = Stall::kNone;
      issued = true;
    } else {
      next = std::min(next, earliest);
    }
  }
  for (Block* block : settling_) settle_block(*block, now);
  const bool settled = !settling_.empty();
  settling_.clear();
  const uint64_t then = issued || settled || next == kNever
                            ? now + 1
                            : std::max(now + 1, static_cast<uint64_t>(std::ceil(next)));
  for (const Stall stall : reason)
    timing_.slots[static_cast<int>(stall)] += static_cast<double>(then - now);
  return then;
}

void Multiprocessor::issue(Scheduler& s, TimedWarp& warp, uint64_t now) {
  const Step done = step(*warp.warp, machine.launch.kernel->code);
  const Instruction& i = *done.instruction;
  const Times times = execute(s, warp, done, now);
  const auto count = [&](int counter, double time) {
    if (counter == kNoBarrier || time <= warp.clears[counter]) return;
    warp.clears[counter] = time;
    warp.because[counter] = times.because;
  };
  count(i.control.write_barrier, times.result);
  count(i.control.read_barrier, times.read);
  warp.started = true;
  warp.ready = now + std::max(1, i.control.stall) + (done.taken ? kBranchCycles : 0);
  if (warp.warp->done() || warp.warp->at_barrier) {
    Block* block = warp.warp->block;
    if (std::find(settling_.begin(), settling_.end(), block) == settling_.end())
      settling_.push_back(block);
  }
}

Multiprocessor::Times Multiprocessor::execute(Scheduler& s, TimedWarp& warp, const Step& done,
                                              uint64_t now) {
  const Instruction& i = *done.instruction;
  const auto time = static_cast<double>(now);
  const Times fixed{time + kFixedLatency, time + kOperandsRead, Stall::kDependency};
  const Times constant{time + kConstantLatency, time + kOperandsRead, Stall::kSpecial};
  if (i.role == Role::kCommit) {
    warp.groups_land.push_back(warp.copies_land);
    if (warp.groups_land.size() > kQueueEntries) warp.groups_land.pop_front();
  }
  if (i.pipe == Pipe::kControl) {
    return i.role == Role::kConstant ? constant : fixed;
  }
  if (i.pipe != Pipe::kMemory) {
    const int cycles = i.pipe == Pipe::kTensor ? model_.product_cycles : i.pipe_cycles;
    double& free = s.free[static_cast<int>(i.pipe)];
    free = std::max(free, time) + cycles;
    if (i.role == Role::kConstant) return constant;
    const double latency = i.pipe == Pipe::kSpecial  ? kSpecialLatency
                           : i.pipe == Pipe::kDouble ? kDoubleLatency
                                                     : kFixedLatency;
    return {time + latency, time + kOperandsRead,
            i.pipe == Pipe::kSpecial ? Stall::kSpecial : Stall::kDependency};
  }
  if (!done.active) return fixed;
  if (i.role == Role::kShared || i.role == Role::kShuffle)
    return access_shared(s, i.role == Role::kShuffle, now);
  return access_global(s, warp, i, now);
}

Multiprocessor::Times Multiprocessor::access_shared(Scheduler& s, bool shuffle, uint64_t now) {
  constexpr int kShuffleWavefronts = 2;
  const int passes = shuffle ? kShuffleWavefronts : wavefronts(machine.access);
  if (!shuffle) {
    timing_.wavefronts += passes;
    timing_.least_wavefronts += least_wavefronts(machine.access);
  }
  while (!s.queued.empty() && s.queued.front() <= static_cast<double>(now)) s.queued.pop_front();
  const double begin = std::max(static_cast<double>(now) + 2, shared_free_);
  shared_free_ = begin + passes;
  s.queued.push_back(begin);
  return {begin + kSharedLatency + passes, begin + 6, Stall::kShared};
}

// The first level looks up a line of four sectors a cycle; copies to shared memory pass it by.
Multiprocessor::Times Multiprocessor::access_global(Scheduler& s, TimedWarp& warp,
                                                    const Instruction& i, uint64_t now) {
  const bool store = i.role == Role::kStore, copy = i.role == Role::kCopy;
  while (!s.queued.empty() && s.queued.front() <= static_cast<double>(now)) s.queued.pop_front();
  const double begin = std::max(static_cast<double>(now) + 2, shared_free_);
  shared_free_ = begin + least_wavefronts(machine.access);
  s.queued.push_back(begin);
  const std::vector<uint64_t> sectors = sectors_of(machine.access);
  const double looked_up = std::max(begin + kOperandsRead, tags_free_);
  tags_free_ = looked_up + static_cast<double>(sectors.size() + 3) / 4;
  double done = looked_up;
  for (const uint64_t sector : sectors) {
    if (store) {
      done = std::max(done, level_.store(sector, looked_up));
      continue;
    }
    if (!copy && l1_.count(sector)) {
      done = std::max(done, looked_up + model_.l1_latency);
      continue;
    }
    const double arrives = std::max(level_.load(sector, looked_up), port_free_);
    port_free_ = arrives + kSectorBytes / model_.multiprocessor_bytes;
    done = std::max(done, port_free_);
    if (!copy) {
      if (l1_.size() >= kL1Sectors) l1_.clear();
      l1_.insert(sector);
    }
  }
  if (copy) warp.copies_land = std::max(warp.copies_land, done + 10);
  return {done + 4, begin + 12, Stall::kGlobal};
}

void Multiprocessor::settle_block(Block& block, uint64_t now) {
  const bool over = std::all_of(block.warps.begin(), block.warps.end(),
                                [](const Warp* warp) { return warp->done(); });
  if (over) return end_block(block, now);
  if (!pass_barrier(block)) return;
  for (Scheduler& s : schedulers_)
    for (auto& warp : s.warps)
      if (warp->warp->block == &block) warp->ready = std::max(warp->ready, now + kBarrierCycles);
}

void Multiprocessor::end_block(Block& block, uint64_t now) {
  check_end(block);
  for (Scheduler& s : schedulers_) {
    std::erase_if(s.warps, [&](const auto& warp) { return warp->warp->block == &block; });
    s.turn = 0;
  }
  std::erase(running_, &block);
  block_pool().give_back(block);
  take_block(now + kBlockStartCycles);
}

}  // namespace sass
