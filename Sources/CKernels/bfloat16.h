// float32 to bfloat16 and back, one number at a time.
#pragma once
#include <stdint.h>
#include <string.h>

/// To nearest, ties to even; NaN keeps its high half and becomes quiet.
static inline __attribute__((always_inline)) uint16_t bfloat16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline __attribute__((always_inline)) float float_of_bfloat16(uint16_t value) {
    const uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}
