#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "kernels/conv2d/scratch.h"

namespace stylemap {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

struct Buffer {
  void* memory = nullptr;
  size_t bytes = 0;
  ~Buffer() { std::free(memory); }
};

}  // namespace

void* thread_scratch(size_t bytes) {
  thread_local Buffer buffer;
  if (bytes > buffer.bytes) {
    std::free(buffer.memory);
    buffer.bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    buffer.memory = std::aligned_alloc(kHugePage, buffer.bytes);
    if (!buffer.memory) {
      buffer.bytes = 0;
      throw std::bad_alloc();
    }
#if defined(MADV_HUGEPAGE)
    madvise(buffer.memory, buffer.bytes, MADV_HUGEPAGE);  // only a wish: 4 KiB pages work too
#endif
  }
  return buffer.memory;
}

}  // namespace stylemap
