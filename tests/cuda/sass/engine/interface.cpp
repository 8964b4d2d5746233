// What Python asks of the engine, by ctypes.
#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>

#include "machine.h"
#include "timing.h"

extern "C" {

// Launches, warp instructions, products of matrices and instructions of diverged warps so far.
void sass_counts(uint64_t* counts) {
  const sass::Counts& c = sass::machine.counts;
  counts[0] = c.launches;
  counts[1] = c.instructions;
  counts[2] = c.products;
  counts[3] = c.divergent;
}

// From now on launches are timed on a chip of so many multiprocessors, with its share of the second
// level and of DRAM; 0: executed and checked.
void sass_time(int multiprocessors) {
  sass::machine.settings.timing = multiprocessors > 0;
  if (multiprocessors <= 0) return;
  const sass::ChipModel whole;
  const double share = static_cast<double>(multiprocessors) / whole.multiprocessors;
  sass::chip = whole;
  sass::chip.multiprocessors = multiprocessors;
  sass::chip.l2_slices = std::max(1, static_cast<int>(whole.l2_slices * share + 0.5));
  sass::chip.dram_bytes = whole.dram_bytes * share;
}

void sass_forget_cache() { sass::forget_cache(); }

// The timings since the last call, as JSON.
const char* sass_timings() {
  static std::string text;
  std::ostringstream json;
  json << "[";
  for (const sass::Timing& t : sass::timings) {
    json << (&t == &sass::timings[0] ? "" : ",") << "{\"kernel\":\"" << t.kernel
         << "\",\"blocks\":" << t.blocks << ",\"blocks_at_once\":" << t.blocks_at_once
         << ",\"cycles\":" << t.cycles << ",\"instructions\":" << t.instructions
         << ",\"products\":" << t.products << ",\"wavefronts\":" << t.wavefronts
         << ",\"least_wavefronts\":" << t.least_wavefronts << ",\"l2_bytes\":" << t.l2_bytes
         << ",\"dram_bytes\":" << t.dram_bytes << ",\"slots\":{";
    for (int n = 0; n < sass::kStalls; ++n)
      json << (n ? "," : "") << "\"" << sass::stall_name(static_cast<sass::Stall>(n))
           << "\":" << t.slots[n];
    json << "}}";
  }
  json << "]";
  text = json.str();
  sass::timings.clear();
  return text.c_str();
}

// The last launch's fault, empty if there was none.
const char* sass_fault() { return sass::machine.fault.c_str(); }

}  // extern "C"
