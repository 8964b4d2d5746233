// Work shared out as threads ask for it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "kernels/common/parallel.h"

namespace stylemap {

// Calls function(begin, end) for consecutive ranges of `chunk` items until [0, items) is covered. A
// thread that is held up takes fewer of them: nobody waits for half of the work at the end of a
// step.
template <class Function>
void parallel_dynamic(int64_t items, int64_t chunk, const Function& function) {
  chunk = std::max<int64_t>(1, chunk);
  std::atomic<int64_t> next{0};
  parallel_for((items + chunk - 1) / chunk, 1, [&](int64_t, int64_t) {
    for (;;) {
      const int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= items) return;
      function(begin, std::min(items, begin + chunk));
    }
  });
}

// Items per chunk so that there are about 64 chunks.
inline int64_t even_chunk(int64_t items) { return (items + 63) / 64; }

}  // namespace stylemap
