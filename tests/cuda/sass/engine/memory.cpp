#include "memory.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "fault.h"

namespace sass {
namespace {

std::map<uint64_t, uint64_t> allocations;  // begin -> end
std::mutex allocations_mutex;              // torch frees from any thread

// The allocations that were accessed last, which most accesses are to.
struct Range {
  uint64_t begin = 0, end = 0;
};
constexpr int kRecent = 4;
Range recent[kRecent];
int oldest = 0;

void forget_recent() {
  for (Range& range : recent) range = {};
}

std::string hex(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// Tags: the interval, and in the low bits the warp.
constexpr int kWarpBits = 6;
constexpr uint32_t kSeveral = (1u << kWarpBits) - 1;
constexpr uint32_t kLastInterval = (1u << (32 - kWarpBits)) - 2;
constexpr uint32_t kUnderWay = 0xffffffffu;

uint32_t tag_of(uint32_t interval, uint32_t warp) { return interval << kWarpBits | warp; }
std::string warp_of(uint32_t tag) {
  const uint32_t warp = tag & kSeveral;
  return warp == kSeveral ? "several warps" : "warp " + std::to_string(warp);
}

}  // namespace

void add_allocation(uint64_t address, size_t bytes) {
  const std::lock_guard<std::mutex> guard(allocations_mutex);
  allocations[address] = address + bytes;
}

void remove_allocation(uint64_t address) {
  const std::lock_guard<std::mutex> guard(allocations_mutex);
  allocations.erase(address);
  forget_recent();
}

void check_global(uint64_t address, int bytes) {
  if (address % bytes)
    throw Fault("misaligned access of " + std::to_string(bytes) + " bytes at " + hex(address));
  const uint64_t end = address + bytes;
  for (const Range& range : recent)
    if (address >= range.begin && end <= range.end) return;
  const std::lock_guard<std::mutex> guard(allocations_mutex);
  auto next = allocations.upper_bound(address);
  const auto found = next == allocations.begin() ? allocations.end() : std::prev(next);
  if (found != allocations.end() && end <= found->second) {
    recent[oldest] = {found->first, found->second};
    oldest = (oldest + 1) % kRecent;
    return;
  }
  std::string where = "no allocation is near";
  if (found != allocations.end())
    where = std::to_string(static_cast<int64_t>(address - found->second)) +
            " bytes after the end of an allocation of " +
            std::to_string(found->second - found->first);
  throw Fault("access out of bounds: " + std::to_string(bytes) + " bytes at " + hex(address) +
              ", " + where);
}

bool SharedMemory::checked = true;

void SharedMemory::start(uint32_t end) {
  end_ = end;
  if (data_.size() < end) data_.resize(end);
  if (checked && written_.size() < end) {
    written_.resize(end, 0);
    read_.resize(end, 0);
  }
  std::memset(data_.data(), 0xff, end);
  if (interval_ >= kLastInterval / 2) {
    std::fill(written_.begin(), written_.end(), 0);
    std::fill(read_.begin(), read_.end(), 0);
    interval_ = 0;
  }
  first_interval_ = ++interval_;  // what earlier blocks have written counts as never written
}

void SharedMemory::check_range(uint32_t address, int bytes) const {
  if (address % bytes)
    throw Fault("misaligned access of " + std::to_string(bytes) + " bytes to shared memory at " +
                hex(address));
  if (address < kSharedBegin || address + bytes > end_)
    throw Fault("access out of bounds of shared memory: " + std::to_string(bytes) + " bytes at " +
                hex(address) + ", which ends at " + hex(end_));
}

template <int kBytes>
void SharedMemory::check_read(uint32_t address, int warp) {
  const uint32_t first = tag_of(first_interval_, 0), now = tag_of(interval_, 0);
  const uint32_t mine = now | warp, several = now | kSeveral;
  const uint32_t* written = written_.data() + address;
  uint32_t* read = read_.data() + address;
  uint32_t wrong = 0;
  for (int i = 0; i < kBytes; ++i) {
    const uint32_t w = written[i], r = read[i];
    wrong |= (w < first) | ((w >= now) & (w != mine));
    read[i] = (r < now) | (r == mine) ? mine : several;
  }
  if (wrong) explain_read(address, kBytes, warp);
}

template <int kBytes>
void SharedMemory::check_write(uint32_t address, uint32_t tag, int warp) {
  const uint32_t now = tag_of(interval_, 0), mine = now | warp;
  uint32_t* written = written_.data() + address;
  const uint32_t* read = read_.data() + address;
  uint32_t wrong = 0;
  for (int i = 0; i < kBytes; ++i) {
    const uint32_t w = written[i], r = read[i];
    wrong |= ((w >= now) & (w != mine)) | ((r >= now) & (r != mine));
  }
  if (wrong) explain_write(address, kBytes, warp);
  for (int i = 0; i < kBytes; ++i) written[i] = tag;
}

void SharedMemory::explain_read(uint32_t address, int bytes, int warp) const {
  for (uint32_t i = address; i < address + bytes; ++i) {
    const uint32_t w = written_[i];
    if (w == kUnderWay)
      throw Fault("read of shared memory at " + hex(i) + " that an asynchronous copy is filling");
    if (w < tag_of(first_interval_, 0))
      throw Fault("read of uninitialised shared memory at " + hex(i));
    if (w >= tag_of(interval_, 0) && w != tag_of(interval_, warp))
      throw Fault("race: shared memory at " + hex(i) + " is read after a write by " + warp_of(w) +
                  " without a barrier between");
  }
  throw Fault("race at " + hex(address));
}

void SharedMemory::explain_write(uint32_t address, int bytes, int warp) const {
  for (uint32_t i = address; i < address + bytes; ++i) {
    const uint32_t w = written_[i], r = read_[i], mine = tag_of(interval_, warp);
    if (w == kUnderWay)
      throw Fault("write to shared memory at " + hex(i) + " that an asynchronous copy is filling");
    const bool by_reader = r >= tag_of(interval_, 0) && r != mine;
    if (by_reader || (w >= tag_of(interval_, 0) && w != mine))
      throw Fault("race: shared memory at " + hex(i) + " is written after a " +
                  (by_reader ? "read by " + warp_of(r) : "write by " + warp_of(w)) +
                  " without a barrier between");
  }
  throw Fault("race at " + hex(address));
}

void SharedMemory::read(uint32_t address, int bytes, void* to, int warp) {
  check_range(address, bytes);
  if (checked) {
    switch (bytes) {
      case 1:
        check_read<1>(address, warp);
        break;
      case 2:
        check_read<2>(address, warp);
        break;
      case 4:
        check_read<4>(address, warp);
        break;
      case 8:
        check_read<8>(address, warp);
        break;
      default:
        check_read<16>(address, warp);
    }
  }
  std::memcpy(to, data_.data() + address, bytes);
}

void SharedMemory::write(uint32_t address, int bytes, const void* from, int warp) {
  check_range(address, bytes);
  if (checked) {
    const uint32_t mine = tag_of(interval_, warp);
    switch (bytes) {
      case 1:
        check_write<1>(address, mine, warp);
        break;
      case 2:
        check_write<2>(address, mine, warp);
        break;
      case 4:
        check_write<4>(address, mine, warp);
        break;
      case 8:
        check_write<8>(address, mine, warp);
        break;
      default:
        check_write<16>(address, mine, warp);
    }
  }
  std::memcpy(data_.data() + address, from, bytes);
}

void SharedMemory::copy_begins(uint32_t address, int warp) {
  check_range(address, kCopyBytes);
  if (!checked) return;
  check_write<kCopyBytes>(address, kUnderWay, warp);
  std::memset(data_.data() + address, 0xff, kCopyBytes);
}

void SharedMemory::copy_lands(uint32_t address, const void* from, int warp) {
  uint8_t* to = data_.data() + address;
  if (from)
    std::memcpy(to, from, kCopyBytes);
  else
    std::memset(to, 0, kCopyBytes);
  if (checked) std::fill_n(written_.begin() + address, kCopyBytes, tag_of(interval_, warp));
}

}  // namespace sass
