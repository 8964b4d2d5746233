// Runs CUDA kernels on the CPU, for tests on machines without a GPU.
//
// Blocks run one after another; the threads of a block are fibers that switch only at barriers and
// warp exchanges. The order of blocks and threads can be changed
// (STYLEMAP_EMULATION_ORDER=forward|reverse|shuffle) so that a missing barrier shows. Shared memory
// is a heap allocation per block, filled with NaN. Stricter than a GPU: a barrier that a finished
// thread never reaches, a warp exchange without all 32 lanes and more than 48 KiB of shared memory
// without asking are errors.
#pragma once

#include <cstddef>
#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// The built-in variables of the running thread.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace emulation {

struct Launch {
  dim3 grid, block;
  size_t dynamic_shared;  // bytes
  const void* kernel;
};

enum class LaunchResult { kOk, kInvalidConfiguration, kInvalidValue };

// Runs body(context) as every thread of every block.
LaunchResult run(const Launch& launch, void (*body)(void*), void* context);

// Allows `kernel` that much dynamic shared memory; false if no GPU has it.
bool allow_dynamic_shared(const void* kernel, size_t bytes);

// The block's shared variable `key`, allocated by the first thread that asks.
void* shared(const void* key, size_t bytes);
void* dynamic_shared();

void block_barrier();
void warp_barrier();
unsigned lane();

// Each of the 32 lanes of a warp gives `bytes` <= kExchangeBytes; every lane gets all of them, lane
// after lane kExchangeBytes apart, valid until the lane's next exchange but one.
constexpr size_t kExchangeBytes = 64;
const unsigned char* exchange(const void* data, size_t bytes);

// cp.async. The copy happens as late as the rules allow, when the thread waits for its group:
// next_copy hands out the copies due, which the caller performs (where the sanitizers see it).
void copy_later(void* to, const void* from, size_t bytes, size_t valid_bytes);
void commit_copies();
bool next_copy(unsigned groups_left_pending, void** to, const void** from, size_t* bytes,
               size_t* valid_bytes);

[[noreturn]] void fail(const char* message);

}  // namespace emulation
