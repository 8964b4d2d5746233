// Stands in for csrc/kernels/common/mma.h: what the PTX manual says these instructions do, step by
// step.
#pragma once

#include <cuda_runtime.h>

#include <cstring>

#include "kernels/common/dtype.h"

namespace stylemap {

using SharedAddress = uintptr_t;

inline SharedAddress shared_address(const void* shared) {
  return reinterpret_cast<SharedAddress>(shared);
}

inline void copy_async(SharedAddress to, const void* from, bool valid) {
  if ((to | reinterpret_cast<uintptr_t>(valid ? from : nullptr)) % 16)
    emulation::fail("cp.async of 16 bytes from or to an unaligned address");
  auto* const shared = reinterpret_cast<uint32_t*>(to);
  // Until it lands nothing may be read there; and whoever still reads is in a race from now on.
  // (Not memset, which the compiler writes out after the thread sanitizer has looked.)
  for (int i = 0; i < 4; ++i) shared[i] = 0xffffffffu;
  emulation::copy_later(shared, from, 16, valid ? 16 : 0);
}

inline void commit_copies() { emulation::commit_copies(); }

template <int kPending>
void wait_for_copies() {
  void* to;
  const void* from;
  size_t bytes, valid;
  while (emulation::next_copy(kPending, &to, &from, &bytes, &valid)) {
    std::memcpy(to, from, valid);
    std::memset(static_cast<char*>(to) + valid, 0, bytes - valid);
  }
}

inline void load_matrices(uint32_t (&to)[4], SharedAddress from) {
  if (from % 16) emulation::fail("ldmatrix from an unaligned address");
  const unsigned lane = emulation::lane();
  const unsigned char* addresses = emulation::exchange(&from, sizeof(from));
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const unsigned char* row;
    std::memcpy(&row, addresses + (8 * matrix + lane / 4) * emulation::kExchangeBytes, sizeof(row));
    std::memcpy(&to[matrix], row + lane % 4 * 4, 4);
  }
}

// Lane l holds of a: rows l / 4 (+ 8 in registers 1 and 3), columns 2 (l % 4) and the next (+ 8 in
// registers 2 and 3); of b: rows 2 (l % 4) and the next (+ 8 in register 1), column l / 4.
template <class T>
void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Fragments {
    T a[4][2], b[2][2];
  } mine;
  std::memcpy(mine.a, a, sizeof(mine.a));
  std::memcpy(mine.b, b, sizeof(mine.b));
  const unsigned lane = emulation::lane();
  const unsigned char* all = emulation::exchange(&mine, sizeof(mine));
  const auto of = [&](unsigned lane) {
    Fragments fragments;
    std::memcpy(&fragments, all + lane * emulation::kExchangeBytes, sizeof(fragments));
    return fragments;
  };
  for (unsigned pair = 0; pair < 4; ++pair) {
    const Fragments row = of(lane / 4 * 4 + pair);
    for (unsigned column = 0; column < 2; ++column) {
      const Fragments factor = of((lane % 4 * 2 + column) * 4 + pair);
      for (unsigned upper = 0; upper < 2; ++upper)
        for (unsigned part = 0; part < 2; ++part) {
          d[column] += load(row.a[2 * upper][part]) * load(factor.b[upper][part]);
          d[2 + column] += load(row.a[2 * upper + 1][part]) * load(factor.b[upper][part]);
        }
    }
  }
}

}  // namespace stylemap
