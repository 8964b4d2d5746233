// Global and shared memory with the checks that a GPU lacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sass {

// Allocations of device memory, which is host memory here.
void add_allocation(uint64_t address, size_t bytes);
void remove_allocation(uint64_t address);

// Throws Fault unless the access is aligned and within one allocation.
void check_global(uint64_t address, int bytes);

// Where a kernel's shared memory begins: the system's own comes before.
constexpr uint32_t kSharedBegin = 0x400;

// A block's shared memory. Every byte remembers which warp wrote it last, which read it last, and
// in which interval between two barriers of the block. An access is a race if another warp accesses
// the byte in the same interval and one of the two writes, whatever order the warps run in; a byte
// that was never written is not read; a byte that an asynchronous copy is filling is not touched.
class SharedMemory {
 public:
  void start(uint32_t end);
  void barrier() { ++interval_; }

  void read(uint32_t address, int bytes, void* to, int warp);
  void write(uint32_t address, int bytes, const void* from, int warp);
  void copy_begins(uint32_t address, int warp);
  void copy_lands(uint32_t address, const void* from, int warp);  // null: zeros

  static bool checked;  // off for timing, which looks at no values

 private:
  void check_range(uint32_t address, int bytes) const;
  template <int kBytes>
  void check_read(uint32_t address, int warp);
  template <int kBytes>
  void check_write(uint32_t address, uint32_t tag, int warp);
  [[noreturn]] void explain_read(uint32_t address, int bytes, int warp) const;
  [[noreturn]] void explain_write(uint32_t address, int bytes, int warp) const;

  uint32_t end_ = 0;
  uint32_t interval_ = 0, first_interval_ = 0;
  std::vector<uint8_t> data_;
  // Interval and warp of the last write and read; kSeveral stands for more than one reader.
  std::vector<uint32_t> written_, read_;
};

constexpr int kCopyBytes = 16;

}  // namespace sass
