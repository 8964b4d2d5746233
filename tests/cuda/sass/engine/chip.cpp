#include "chip.h"

#include <algorithm>

namespace sass {
namespace {

std::unordered_set<uint64_t> cached;  // sectors; the chip holds 50 MB, more than a layer touches

// Addresses are spread over slices and channels.
uint64_t mixed(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  return x ^ x >> 33;
}

// Sectors that lie together are served together.
constexpr uint64_t kSectorsPerSlice = 16, kSectorsPerChannel = 8;
constexpr double kWayThere = 0.4;  // share of the second level's latency before it looks

}  // namespace

void forget_cache() { cached.clear(); }

SharedLevel::SharedLevel(const ChipModel& model)
    : model_(model), slice_free_(model.l2_slices, 0), channel_free_(kDramChannels, 0) {}

double SharedLevel::queue(uint64_t sector, double time) {
  ++sectors;
  double& free = slice_free_[mixed(sector / kSectorsPerSlice) % slice_free_.size()];
  const double begin = std::max(time + model_.l2_latency * kWayThere, free);
  free = begin + kSectorBytes / model_.l2_slice_bytes;
  return begin;
}

double SharedLevel::load(uint64_t sector, double time) {
  double ready = queue(sector, time);
  if (cached.insert(sector).second) {
    ++dram_sectors;
    double& free = channel_free_[mixed(sector / kSectorsPerChannel + 1) % channel_free_.size()];
    const double begin = std::max(ready, free);
    free = begin + kSectorBytes * kDramChannels / model_.dram_bytes;
    ready = begin + model_.dram_latency;
  }
  return ready + model_.l2_latency * (1 - kWayThere);
}

double SharedLevel::store(uint64_t sector, double time) {
  cached.insert(sector);
  return queue(sector, time);
}

}  // namespace sass
