// Compiler portability for code shared by the CPU and CUDA kernels.
#pragma once

#if defined(__CUDACC__)
#define SM_HOST_DEVICE __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define SM_HOST_DEVICE inline __attribute__((always_inline))
#else
#define SM_HOST_DEVICE inline
#endif

// A loop body written once and inlined into every clone of its caller. It has to be inlined: a
// function that is merely called keeps the instruction set of the baseline.
#if defined(__GNUC__)
#define SM_INLINE inline __attribute__((always_inline))
#else
#define SM_INLINE inline
#endif

// Compiles a (non-template) function for the baseline, AVX2 and AVX-512; the loader picks one.
// Compiling a whole file with -march instead would put AVX-512 into functions the linker shares.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define SM_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SM_CLONES
#endif
