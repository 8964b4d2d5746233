// Switching stacks: a dozen instructions on x86-64, where ucontext makes two system calls.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulation {

#if defined(__x86_64__)

using Context = void*;  // the stack pointer; the callee-saved registers lie above it

extern "C" void emulation_switch(void** from, void* to);
asm(R"(
.text
.hidden emulation_switch
.globl emulation_switch
.type emulation_switch, @function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch, . - emulation_switch
)");

inline void switch_context(Context& from, Context& to) { emulation_switch(&from, to); }

inline void make_context(Context& context, char* stack, size_t bytes, void (*function)()) {
  const auto top = (reinterpret_cast<uintptr_t>(stack) + bytes) / 16 * 16 - 32;
  auto* slots = reinterpret_cast<uintptr_t*>(top);
  slots[0] =
      reinterpret_cast<uintptr_t>(function);  // returned to: the stack is then as after a call
  slots[1] = 0;
  context = slots - 6;
  for (int i = 1; i <= 6; ++i) *(slots - i) = 0;
}

#else

using Context = ucontext_t;

inline void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }

inline void make_context(Context& context, char* stack, size_t bytes, void (*function)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  makecontext(&context, function, 0);
}

#endif

}  // namespace emulation
