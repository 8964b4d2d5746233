// What the multiprocessors of the modelled chip share: the second-level cache and DRAM.
#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

namespace sass {

// An H200's figures where NVIDIA gives them; latencies and the tensor cores' rate for mma.sync are
// those that published microbenchmarks of Hopper find. None was measured by this project.
struct ChipModel {
  int multiprocessors = 132;
  double gigahertz = 1.755;
  int l2_slices = 80;
  double l2_slice_bytes = 64;                                    // a cycle
  double dram_bytes = 2460;                                      // a cycle: nine tenths of 4.8 TB/s
  double multiprocessor_bytes = 64;                              // a cycle, from the second level
  double l1_latency = 33, l2_latency = 262, dram_latency = 300;  // cycles; the last on top
  int product_cycles = 6;  // of a 16 x 8 x 16 product, per scheduler
};

constexpr int kSectorBytes = 32;
constexpr int kDramChannels = 80;

class SharedLevel {
 public:
  explicit SharedLevel(const ChipModel& model);

  // When a sector that a multiprocessor asks for at `time` is there; for a store, when it is taken.
  double load(uint64_t sector, double time);
  double store(uint64_t sector, double time);

  uint64_t sectors = 0, dram_sectors = 0;

 private:
  double queue(uint64_t sector, double time);

  const ChipModel& model_;
  std::vector<double> slice_free_, channel_free_;
};

// Forgets what the second level holds; it is kept from launch to launch otherwise.
void forget_cache();

}  // namespace sass
