// AdamW over moments of 16 or 8 bits: decode, update, encode with keyed stochastic rounding.
#ifndef VARIANT
#include "optimizer_compressed.h"
#define VARIANT_FILE "optimizer_compressed.c"

// Smallest exponents of a block that keep its smallest codes normal numbers.
enum { FIRST_LOWEST = 18, SECOND_LOWEST = 33 };

#include "variants.h"

DISPATCH(void, adamw_update_bf16,
         (float *parameters, float *gradients, uint16_t *first, uint16_t *second, int64_t n, const adamw_step *step,
          uint32_t key),
         (parameters, gradients, first, second, n, step, key))
DISPATCH(void, adamw_update_8bit,
         (float *parameters, float *gradients, uint8_t *first, uint8_t *second, uint8_t *first_exponents,
          uint8_t *second_exponents, int64_t n, const adamw_step *step, uint32_t key),
         (parameters, gradients, first, second, first_exponents, second_exponents, n, step, key))
#else

#define bits_of VARIANT(bits_of)
#define float_of VARIANT(float_of)
#define noise_of VARIANT(noise_of)
#define more_noise VARIANT(more_noise)
#define block_exponent VARIANT(block_exponent)
#define decode_first VARIANT(decode_first)
#define decode_second VARIANT(decode_second)
#define encode_first VARIANT(encode_first)
#define encode_second VARIANT(encode_second)

#include "optimizer_body.h"

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
INLINE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/// 32 bits for element i: the finalizer of MurmurHash3 over a Weyl sequence.
INLINE uint32_t noise_of(uint32_t key, uint32_t i) {
    uint32_t h = key + i * 0x9E3779B1u;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
}
/// Others, for the same element's second moment.
INLINE uint32_t more_noise(uint32_t noise) { return noise * 0x9E3779B1u; }

void VARIANT(adamw_update_bf16)(float *parameters, float *gradients, uint16_t *first, uint16_t *second, int64_t n,
                                const adamw_step *step, uint32_t key) {
    float m[ADAMW_BLOCK], v[ADAMW_BLOCK];
    for (int64_t at = 0; at < n; at += ADAMW_BLOCK) {
        const int64_t count = n - at < ADAMW_BLOCK ? n - at : ADAMW_BLOCK;
        uint16_t *restrict a = first + at, *restrict b = second + at;
        for (int64_t i = 0; i < count; i++) {
            m[i] = float_of((uint32_t)a[i] << 16);
            v[i] = float_of((uint32_t)b[i] << 16);
        }
        VARIANT(moments)(parameters + at, gradients + at, m, v, count, step);
        for (int64_t i = 0; i < count; i++) {
            const uint32_t noise = noise_of(key, (uint32_t)(at + i));
            a[i] = (uint16_t)((bits_of(m[i]) + (noise >> 16)) >> 16);
            b[i] = (uint16_t)((bits_of(v[i]) + (more_noise(noise) >> 16)) >> 16);
        }
    }
}

/// The exponent field of the block's largest, one more where its fraction is beyond the last code's; 0 where the
/// codes' range would leave that of normal numbers.
INLINE uint32_t block_exponent(const float *x, int64_t n, uint32_t lowest) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]) & 0x7FFFFFFFu;
        largest = bits > largest ? bits : largest;
    }
    const uint32_t exponent = (largest + 0xFFFFFu) >> 23;
    return exponent < lowest ? 0 : exponent > 254 ? 254 : exponent;
}

INLINE void decode_first(float *restrict x, const uint8_t *restrict codes, uint32_t exponent, int64_t n) {
    const uint32_t offset = (exponent - 15) << 3;
    const float unit = float_of((exponent - 17) << 23);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t code = codes[i] & 127u;
        const uint32_t small = bits_of((float)(int32_t)code * unit), normal = (code + offset) << 20;
        x[i] = float_of((code < 8 ? small : normal) | (uint32_t)(codes[i] & 128u) << 24);
    }
}

INLINE void encode_first(uint8_t *restrict codes, const float *restrict x, const uint32_t *restrict noise,
                         uint32_t exponent, int64_t n) {
    const uint32_t offset = (exponent - 15) << 3, smallest_normal = (exponent - 14) << 23;
    const float scale = float_of((271 - exponent) << 23);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t all = bits_of(x[i]), bits = all & 0x7FFFFFFFu, random = noise[i] >> 12;
        const float scaled = float_of(bits) * scale, limited = scaled < 8.0f ? scaled : 8.0f;
        const uint32_t small = (uint32_t)(int32_t)(limited + (float)(int32_t)random * 0x1p-20f);
        const uint32_t normal = ((bits + random) >> 20) - offset;
        const uint32_t code = bits < smallest_normal ? small : normal;
        codes[i] = (uint8_t)((code < 127 ? code : 127) | (all >> 24 & 128u));
    }
}

INLINE void decode_second(float *restrict x, const uint8_t *restrict codes, uint32_t exponent, int64_t n) {
    const uint32_t offset = (exponent - 31) << 3;
    for (int64_t i = 0; i < n; i++) x[i] = float_of((codes[i] + offset) << 20);
}

INLINE void encode_second(uint8_t *restrict codes, const float *restrict x, const uint32_t *restrict noise,
                          uint32_t exponent, int64_t n) {
    const int32_t offset = (int32_t)(exponent - 31) << 3;
    for (int64_t i = 0; i < n; i++) {
        const int32_t code = (int32_t)((bits_of(x[i]) + (more_noise(noise[i]) >> 12)) >> 20) - offset;
        const int32_t raised = code > 0 ? code : 0;
        codes[i] = (uint8_t)(raised < 255 ? raised : 255);
    }
}

void VARIANT(adamw_update_8bit)(float *parameters, float *gradients, uint8_t *first, uint8_t *second,
                                uint8_t *first_exponents, uint8_t *second_exponents, int64_t n,
                                const adamw_step *step, uint32_t key) {
    float m[ADAMW_BLOCK], v[ADAMW_BLOCK];
    uint32_t noise[ADAMW_BLOCK];
    for (int64_t at = 0, block = 0; at < n; at += ADAMW_BLOCK, block++) {
        const int64_t count = n - at < ADAMW_BLOCK ? n - at : ADAMW_BLOCK;
        uint32_t a = first_exponents[block], b = second_exponents[block];
        if (a < FIRST_LOWEST) memset(m, 0, sizeof m);
        else decode_first(m, first + at, a, count);
        if (b < SECOND_LOWEST) memset(v, 0, sizeof v);
        else decode_second(v, second + at, b, count);
        VARIANT(moments)(parameters + at, gradients + at, m, v, count, step);
        for (int64_t i = 0; i < count; i++) noise[i] = noise_of(key, (uint32_t)(at + i));
        a = block_exponent(m, count, FIRST_LOWEST);
        b = block_exponent(v, count, SECOND_LOWEST);
        first_exponents[block] = (uint8_t)a;
        second_exponents[block] = (uint8_t)b;
        if (a == 0) memset(first + at, 0, (size_t)count);
        else encode_first(first + at, m, noise, a, count);
        if (b == 0) memset(second + at, 0, (size_t)count);
        else encode_second(second + at, v, noise, b, count);
    }
}
#endif
