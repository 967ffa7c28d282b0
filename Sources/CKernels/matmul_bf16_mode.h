// The floating-point mode of the calling thread while a kernel runs.
#pragma once
#include <stdint.h>

// Nothing may be computed between setting and restoring in the same function: the compiler does not know that
// arithmetic depends on the mode. Set it, call a function that is not inlined, restore.
#define NOT_INLINED __attribute__((noinline))

#if defined(__x86_64__)
enum {
    MODE_DEFAULT = 0x1F80,   // round to nearest even, nothing trapped
    MODE_FLUSHING = 0x9FC0,  // and flush-to-zero, denormals-are-zero
};
static inline uint32_t mode_set(uint32_t mode) {
    const uint32_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode);
    return before;
}
static inline void mode_restore(uint32_t before) { __builtin_ia32_ldmxcsr(before); }
#endif
