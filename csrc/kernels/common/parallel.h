// How the CPU kernels use threads. The host framework defines run_parallel: csrc/torch/parallel.cpp
// for PyTorch.
#pragma once

#include <cstdint>

namespace stylemap {

using RangeFunction = void (*)(int64_t begin, int64_t end, void* context);

// Calls function on disjoint ranges that cover [0, count), on several threads if count > grain.
void run_parallel(int64_t count, int64_t grain, RangeFunction function, void* context);

// Elements of work below which a second thread costs more than it saves (PyTorch's own grain).
inline constexpr int64_t kGrain = 32768;

template <class Function>
void parallel_for(int64_t count, int64_t grain, const Function& function) {
  if (count <= 0) return;
  run_parallel(
      count, grain < 1 ? 1 : grain,
      [](int64_t begin, int64_t end, void* context) {
        (*static_cast<const Function*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&function)));
}

// parallel_for over `count` tasks of `cost` elements each.
template <class Function>
void parallel_tasks(int64_t count, int64_t cost, const Function& function) {
  parallel_for(count, kGrain / (cost < 1 ? 1 : cost), function);
}

}  // namespace stylemap
