// Random numbers as a function of their place: Philox4x32-10, Box–Muller.
#pragma once
#include <stdint.h>

/// The 64 bits that KeyedRandom.bits(seed:use:_:_:) gives for (seed, tagged a, b); `tagged` carries the use.
uint64_t keyed_bits(uint64_t seed, uint64_t tagged, uint64_t b);

/// x[i] for first ≤ i < last is deviation · z[i] (x points to element `first`; first and last − first even or last
/// the end), where z[2k], z[2k + 1] = sqrt(−2 ln(1 − u))·(cos, sin)(2π·w) with u, w the keyed uniforms of
/// b = 2k and b = 2k + 1. Only IEEE operations, no libm: the same bits on every machine.
void normal_fill(float *x, int64_t first, int64_t last, uint64_t seed, uint64_t tagged, float deviation);

/// Moves numbers that are bfloat16 values to random places among the float32 that round to them: the bits of x[i] for
/// first ≤ i < last (x points to element `first`, a multiple of 4) change by max(r − 2^15, 1 − 2^15), r the 16 bits
/// number i mod 4 of the keyed bits of b = i / 4. Magnitudes below 2^-100, infinities, NaN and what is no bfloat16 value
/// stay.
void bfloat16_spread(float *x, int64_t first, int64_t last, uint64_t seed, uint64_t tagged);

/// x[i] for i < n is bound·(2u − 1), u the keyed uniform of b = i.
void uniform_fill(float *x, int64_t n, uint64_t seed, uint64_t tagged, float bound);
