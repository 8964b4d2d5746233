// A buffer per thread that stays: kernels ask for a few hundred kilobytes thousands of times.
#pragma once

#include <cstddef>

namespace stylemap {

// At least `bytes`, 64-byte aligned, the calling thread's own until its next call.
void* thread_scratch(size_t bytes);

}  // namespace stylemap
