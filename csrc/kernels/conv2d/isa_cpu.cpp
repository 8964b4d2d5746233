// Chooses the instruction set of the convolution kernels.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels/conv2d/kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace stylemap {
namespace {

#if defined(__aarch64__)
bool has_bf16() {
#if defined(__linux__)
  constexpr unsigned long kBf16 = 1ul << 14;  // HWCAP2_BF16, which older headers lack
  return (getauxval(AT_HWCAP2) & kBf16) != 0;
#else
  return false;
#endif
}
#endif

#if defined(__x86_64__)
// Whether there is AMX with bfloat16. The registers are large: Linux gives them to a process that
// asks.
bool has_amx() {
#if defined(__linux__)
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kBf16) || !(d & kTile)) return false;
  constexpr long kRequestPermission = 0x1023,
                 kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

struct Candidate {
  const ConvKernels* kernels;
  bool supported;
};

// Every set compiled in, best first.
const Candidate* candidates(int& count) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                           __builtin_cpu_supports("f16c");
  static const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  static const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  static const bool amx = bf16 && has_amx();
  static const Candidate list[] = {{&kConvAmxBf16, amx},
                                   {&kConvAvx512Bf16, bf16},
                                   {&kConvAvx512, avx512},
                                   {&kConvAvx2, avx2},
                                   {&kConvGeneric, true}};
#elif defined(__aarch64__)
  static const Candidate list[] = {
      {&kConvNeonBf16, has_bf16()}, {&kConvNeon, true}, {&kConvGeneric, true}};
#else
  static const Candidate list[] = {{&kConvGeneric, true}};
#endif
  count = static_cast<int>(sizeof list / sizeof list[0]);
  return list;
}

const ConvKernels* find(const char* name) {
  int count = 0;
  const Candidate* list = candidates(count);
  const bool any = std::strcmp(name, "auto") == 0;
  for (int i = 0; i < count; ++i)
    if (list[i].supported && (any || std::strcmp(name, list[i].kernels->name) == 0))
      return list[i].kernels;
  return nullptr;
}

const ConvKernels* initial() {
  const char* wanted = std::getenv("STYLEMAP_ISA");
  const ConvKernels* found = wanted ? find(wanted) : nullptr;
  return found ? found : find("auto");
}

std::atomic<const ConvKernels*>& chosen() {
  static std::atomic<const ConvKernels*> kernels{initial()};
  return kernels;
}

}  // namespace

const ConvKernels& conv_kernels() { return *chosen().load(std::memory_order_relaxed); }

bool select_isa(const char* name) {
  const ConvKernels* found = find(name);
  if (found) chosen().store(found, std::memory_order_relaxed);
  return found != nullptr;
}

}  // namespace stylemap
