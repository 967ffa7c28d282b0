// The most this processor can do: multiply-adds on registers alone, and bytes read from memory.
#pragma once
#include <stdint.h>

typedef struct {
    const char *name;
    int32_t (*supported)(void);
    /// Runs `rounds` rounds; returns a number that depends on all of them.
    float (*run)(int64_t rounds);
    /// Floating-point operations of one round.
    int64_t operations;
} peak_loop;

/// Widest first; NULL when there are no more.
const peak_loop *peak_loop_at(int64_t index);

/// Sum of `count` words: reads each once.
uint64_t peak_read(const uint64_t *words, int64_t count);
