// What functions of a float64 have in common.
#pragma once
#include <stdint.h>
#include <string.h>

/// Nearest integer of |x| < 2^51, ties to even: adding 1.5·2^52 leaves no room for a fraction.
static inline double nearest(double x) { return x + 0x1.8p52 - 0x1.8p52; }

/// The z in [√½, √2) of a positive, normal x = 2^exponent·z.
static inline double significand_near_one(double x, int64_t *exponent) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    *exponent = (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
    double z;
    memcpy(&z, &bits, sizeof z);
    if (z > 0x1.6a09e667f3bcdp+0) {
        z *= 0.5;
        *exponent += 1;
    }
    return z;
}
