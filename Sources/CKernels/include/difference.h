#pragma once
// Which numbers of a bfloat16 tensor changed, in few bits: the difference of two versions of the same weights.
// Pointers to numbers may be unaligned.
//
// A code is a byte k, then for each changed number, in order, bits from the lowest of each byte up:
//   how many unchanged ones come before it, Golomb-Rice with parameter k: (gap >> k) ones, a zero, the k low bits;
//   1 if its bit pattern, taken as an integer, became less, else 0;
//   by how much (1…32768, modulo 65536), Elias gamma: as many ones as it has bits after the highest, a zero, those bits.
// The last byte is filled up with zeros.
#include <stddef.h>
#include <stdint.h>

enum difference_fault {
    DIFFERENCE_SOUND = 0,
    DIFFERENCE_SHORT = 1,    // ends before its last number
    DIFFERENCE_LONG = 2,     // goes on after its last number
    DIFFERENCE_OUTSIDE = 3,  // names a number beyond the end
    DIFFERENCE_AMOUNT = 4,   // a change beyond 32768, or a parameter beyond 31
};

// How many of n numbers differ.
size_t difference_count_bf16(const uint8_t *restrict before, const uint8_t *restrict after, size_t n);

// Codes the `changed` numbers that differ, at least one; n below 2^31. Returns the bytes taken, 0 where `room` is too
// small.
size_t difference_encode_bf16(
    const uint8_t *restrict before, const uint8_t *restrict after, size_t n, size_t changed, uint8_t *restrict code,
    size_t room);

// Changes `changed` of n numbers in place; on any fault they are left half-way.
enum difference_fault difference_apply_bf16(
    const uint8_t *restrict code, size_t bytes, size_t changed, uint8_t *restrict numbers, size_t n);
