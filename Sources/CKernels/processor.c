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
