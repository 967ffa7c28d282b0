// Processor count and thread names: GNU extensions.
#define _GNU_SOURCE
#include "processor.h"
#include <pthread.h>
#include <sched.h>

int32_t processor_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

void thread_set_name(const char *name) { pthread_setname_np(pthread_self(), name); }

uint64_t floating_mode_enter(void) {
#if defined(__x86_64__)
    const uint64_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x9FC0);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24));
    return before;
#else
    return 0;
#endif
}

void floating_mode_leave(uint64_t mode) {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((uint32_t)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#endif
}
