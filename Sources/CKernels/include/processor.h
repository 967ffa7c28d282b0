// What the processor can do, and what threads need of the system that Swift's Glibc module leaves out.
#pragma once
#include <stdint.h>

/// Processors this process may run on, at least 1.
int32_t processor_count(void);

/// Names the calling thread (at most 15 bytes).
void thread_set_name(const char *name);

/// Sets the floating-point mode of all kernels: round to nearest even, denormals count as zero and results that would
/// be one become zero, no traps. Returns the mode to give back. A call is not moved across arithmetic in other
/// functions, but arithmetic in the caller itself may move across it.
uint64_t floating_mode_enter(void);
void floating_mode_leave(uint64_t mode);

/// Tells the processor that the thread only waits.
static inline void thread_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// 2: AVX-512 (F, VL, BW, DQ); 1: AVX2 with FMA; 0: neither.
static inline int processor_vector_level(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
    return 0;
}
