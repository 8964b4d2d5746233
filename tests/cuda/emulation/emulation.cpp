// The scheduler behind emulation.h. Compiled without sanitizers even where the kernels have them:
// the fibers and the happens-before edges they may see are the ones announced here.
#include "emulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#if defined(EMULATION_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(EMULATION_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#include "switch.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {
namespace {

constexpr size_t kStackBytes = 192 << 10;
constexpr unsigned kWarp = 32;
constexpr size_t kDefaultSharedBytes = 48 << 10;
constexpr size_t kLargestSharedBytes = 227 << 10;
constexpr size_t kSharedVariables = 16;
constexpr size_t kPendingCopies = 4096;

using Memory = std::unique_ptr<unsigned char[]>;

struct Copy {
  void* to;
  const void* from;
  size_t bytes, valid_bytes;
};

struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  void* fake_stack = nullptr;
  void* tsan = nullptr;
  unsigned number = 0;
  bool finished = true;
  const unsigned* waits_for = nullptr;  // a counter that has to change before the fiber goes on
  unsigned seen = 0;
  // cp.async: copies [done, groups[i]) are due once the first i groups are; storage is never moved
  // or freed by the fiber, which the thread sanitizer would take for a race.
  std::vector<Copy> copies;
  std::vector<size_t> groups;
  size_t done = 0;
};

struct SharedVariable {
  const void* key;
  Memory memory;
};

struct Barrier {
  unsigned arrived = 0;
  unsigned generation = 0;
  // For the thread sanitizer, in turns: a thread may arrive at the next barrier before another has
  // left this one, and what it did in between is not ordered before that thread's.
  uint64_t tokens[2];
};

struct Warp {
  Barrier barrier;
  alignas(16) unsigned char slots[2][kWarp][kExchangeBytes];
};

std::mutex mutex;
std::vector<std::unique_ptr<Fiber>> fibers;
std::map<const void*, size_t> allowed_shared;

Context scheduler;
#if defined(EMULATION_ASAN)
void* scheduler_fake_stack;
const void* scheduler_stack;
size_t scheduler_stack_size;
#elif defined(EMULATION_TSAN)
void* scheduler_tsan;
#endif

Fiber* current;
unsigned threads;
Barrier block;
std::vector<Warp> warps;
SharedVariable shared_variables[kSharedVariables];
Memory dynamic_variable;
size_t shared_left;           // of the block's limit
std::vector<Memory> retired;  // freed after the launch: freeing would order the blocks
void (*thread_body)(void*);
void* thread_context;
int start_token, end_token;  // tell the thread sanitizer what a launch orders; blocks are unordered

void release([[maybe_unused]] void* token) {
#if defined(EMULATION_TSAN)
  __tsan_release(token);
#endif
}

void acquire([[maybe_unused]] void* token) {
#if defined(EMULATION_TSAN)
  __tsan_acquire(token);
#endif
}

void switch_to_scheduler() {
  Fiber* self = current;
#if defined(EMULATION_ASAN)
  __sanitizer_start_switch_fiber(&self->fake_stack, scheduler_stack, scheduler_stack_size);
#elif defined(EMULATION_TSAN)
  __tsan_switch_to_fiber(scheduler_tsan, __tsan_switch_to_fiber_no_sync);
#endif
  switch_context(self->context, scheduler);
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(self->fake_stack, &scheduler_stack, &scheduler_stack_size);
#endif
}

void resume(Fiber* fiber) {
  current = fiber;
  const unsigned n = fiber->number;
  threadIdx = {n % blockDim.x, n / blockDim.x % blockDim.y, n / (blockDim.x * blockDim.y)};
#if defined(EMULATION_ASAN)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber->stack.get(), kStackBytes);
#elif defined(EMULATION_TSAN)
  __tsan_switch_to_fiber(fiber->tsan, __tsan_switch_to_fiber_no_sync);
#endif
  switch_context(scheduler, fiber->context);
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void fiber_main() {
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
#endif
  for (;;) {
    acquire(&start_token);
    thread_body(thread_context);
    release(&end_token);
    current->finished = true;
    switch_to_scheduler();
  }
}

void wait_until_changed(const unsigned& counter, unsigned seen) {
  current->waits_for = &counter;
  current->seen = seen;
  switch_to_scheduler();
  current->waits_for = nullptr;
}

void arrive(Barrier& barrier, unsigned expected) {
  const unsigned generation = barrier.generation;
  uint64_t* const token = &barrier.tokens[generation & 1];
  release(token);
  if (++barrier.arrived == expected) {
    barrier.arrived = 0;
    ++barrier.generation;
  } else {
    wait_until_changed(barrier.generation, generation);
  }
  acquire(token);
}

void create_fibers(unsigned count) {
  while (fibers.size() < count) {
    auto fiber = std::make_unique<Fiber>();
    fiber->number = static_cast<unsigned>(fibers.size());
    fiber->copies.reserve(kPendingCopies);
    fiber->groups.reserve(kPendingCopies);
    make_context(fiber->context, fiber->stack.get(), kStackBytes, fiber_main);
#if defined(EMULATION_TSAN)
    fiber->tsan = __tsan_create_fiber(0);
#endif
    fibers.push_back(std::move(fiber));
  }
}

// The order in which the threads of a block, or the blocks of a launch, get their turn.
std::vector<unsigned> turn_order(unsigned count, uint32_t seed) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  const char* named = std::getenv("STYLEMAP_EMULATION_ORDER");
  const char first = named ? named[0] : 'f';
  if (first == 'r') std::reverse(order.begin(), order.end());
  if (first == 's') {
    uint32_t state = 0x9e3779b9u + seed;
    for (unsigned i = count; i > 1; --i) {
      state = state * 1664525u + 1013904223u;
      std::swap(order[i - 1], order[(state >> 8) % i]);
    }
  }
  return order;
}

void retire_shared_memory() {
  for (auto& variable : shared_variables) {
    if (variable.key) retired.push_back(std::move(variable.memory));
    variable.key = nullptr;
  }
  if (dynamic_variable) retired.push_back(std::move(dynamic_variable));
}

void run_block() {
  block = {};
  warps.assign((threads + kWarp - 1) / kWarp, {});
  for (unsigned i = 0; i < threads; ++i) {
    fibers[i]->finished = false;
    fibers[i]->copies.clear();
    fibers[i]->groups.clear();
    fibers[i]->done = 0;
  }
  release(&start_token);
  const auto order = turn_order(threads, blockIdx.x);
  for (unsigned left = threads; left > 0;) {
    bool progress = false;
    for (const unsigned i : order) {
      Fiber* fiber = fibers[i].get();
      if (fiber->finished || (fiber->waits_for && *fiber->waits_for == fiber->seen)) continue;
      resume(fiber);
      progress = true;
      left -= fiber->finished;
    }
    if (!progress) fail("deadlock: a barrier or warp exchange that some threads never reach");
  }
}

Memory poisoned(size_t bytes) {
  Memory memory(new unsigned char[bytes]);
  std::memset(memory.get(), 0xff, bytes);
  return memory;
}

bool valid(const dim3& grid, const dim3& block_size) {
  const uint64_t count = uint64_t{block_size.x} * block_size.y * block_size.z;
  return count >= 1 && count <= 1024 && block_size.z <= 64 && grid.x >= 1 &&
         grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
}

}  // namespace

LaunchResult run(const Launch& launch, void (*body)(void*), void* context) {
  const std::lock_guard<std::mutex> guard(mutex);
  if (!valid(launch.grid, launch.block)) return LaunchResult::kInvalidConfiguration;
  const auto allowed = allowed_shared.find(launch.kernel);
  const size_t limit = allowed == allowed_shared.end() ? kDefaultSharedBytes : allowed->second;
  if (launch.dynamic_shared > limit) return LaunchResult::kInvalidValue;
  threads = launch.block.x * launch.block.y * launch.block.z;
  gridDim = launch.grid;
  blockDim = launch.block;
  thread_body = body;
  thread_context = context;
  create_fibers(threads);
#if defined(EMULATION_TSAN)
  scheduler_tsan = __tsan_get_current_fiber();
#endif
  for (const unsigned number : turn_order(gridDim.x * gridDim.y * gridDim.z, gridDim.x)) {
    blockIdx = {number % gridDim.x, number / gridDim.x % gridDim.y,
                number / (gridDim.x * gridDim.y)};
    shared_left =
        (allowed == allowed_shared.end() ? limit : kLargestSharedBytes) - launch.dynamic_shared;
    dynamic_variable = launch.dynamic_shared ? poisoned(launch.dynamic_shared) : nullptr;
    run_block();
    retire_shared_memory();
  }
  acquire(&end_token);
  retired.clear();
  return LaunchResult::kOk;
}

bool allow_dynamic_shared(const void* kernel, size_t bytes) {
  if (bytes > kLargestSharedBytes) return false;
  allowed_shared[kernel] = bytes;
  return true;
}

void* shared(const void* key, size_t bytes) {
  for (auto& variable : shared_variables) {
    if (variable.key == nullptr) {
      if (bytes > shared_left) fail("static and dynamic shared memory exceed the limit together");
      shared_left -= bytes;
      variable = {key, poisoned(bytes)};
      release(&shared_variables);
    }
    if (variable.key == key) {
      acquire(&shared_variables);
      return variable.memory.get();
    }
  }
  fail("too many shared variables");
}

void* dynamic_shared() { return dynamic_variable.get(); }

void block_barrier() { arrive(block, threads); }

unsigned lane() { return current->number % kWarp; }

void warp_barrier() {
  const unsigned first = current->number / kWarp * kWarp;
  if (threads - first < kWarp) fail("warp exchange in a warp of fewer than 32 threads");
  arrive(warps[current->number / kWarp].barrier, kWarp);
}

const unsigned char* exchange(const void* data, size_t bytes) {
  if (bytes > kExchangeBytes) fail("warp exchange of more than kExchangeBytes");
  Warp& warp = warps[current->number / kWarp];
  auto& slots = warp.slots[warp.barrier.generation & 1];
  const auto* from = static_cast<const unsigned char*>(data);
  unsigned char* to = slots[lane()];
  for (size_t i = 0; i < bytes; ++i) to[i] = from[i];
  warp_barrier();
  return slots[0];
}

void copy_later(void* to, const void* from, size_t bytes, size_t valid_bytes) {
  if (current->copies.size() == kPendingCopies) fail("too many asynchronous copies in one thread");
  current->copies.push_back({to, from, bytes, valid_bytes});
}

void commit_copies() {
  if (current->groups.size() == kPendingCopies)
    fail("too many groups of asynchronous copies in one thread");
  current->groups.push_back(current->copies.size());
}

bool next_copy(unsigned groups_left_pending, void** to, const void** from, size_t* bytes,
               size_t* valid_bytes) {
  auto& groups = current->groups;
  const size_t due =
      groups.size() > groups_left_pending ? groups[groups.size() - groups_left_pending - 1] : 0;
  if (current->done >= due) {
    if (current->done == current->copies.size() && groups_left_pending == 0) {
      current->copies.clear();
      groups.clear();
      current->done = 0;
    }
    return false;
  }
  const Copy copy = current->copies[current->done++];
  *to = copy.to;
  *from = copy.from;
  *bytes = copy.bytes;
  *valid_bytes = copy.valid_bytes;
  return true;
}

void fail(const char* message) {
  std::fprintf(stderr, "emulation: %s (block %u %u %u, thread %u %u %u)\n", message, blockIdx.x,
               blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  std::abort();
}

}  // namespace emulation
