// How are stored numbers turned into float32? Written from the descriptions of IEEE 754 binary16, bfloat16 and the
// GGUF block formats. A block's values are scale * integer (+ minimum), each operation rounded to float32 once.
#include "dequantize.h"

#include "bfloat16.h"

#include <string.h>

static inline uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t load16(const uint8_t *source) {
    return (uint16_t)(source[0] | source[1] << 8);
}

static inline uint32_t load32(const uint8_t *source) {
    return (uint32_t)load16(source) | (uint32_t)load16(source + 2) << 16;
}

static inline void store16(uint8_t *out, uint16_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline float half_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) return bits_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude >= 0x0400u) return bits_float(sign | ((magnitude << 13) + (112u << 23)));
    // Subnormal halves are whole multiples of 2^-24 and normal in float32.
    const float small = (float)magnitude * 0x1p-24f;
    return bits_float(sign | float_bits(small));
}

static inline float load_half(const uint8_t *source) {
    return half_float(load16(source));
}

void dequantize_f16(const uint8_t *restrict source, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) out[i] = load_half(source + 2 * i);
}

void dequantize_bf16(const uint8_t *restrict source, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) out[i] = float_of_bfloat16(load16(source + 2 * i));
}

// half scale | 16 bytes: low nibbles are elements 0..15, high nibbles 16..31; value = scale * (q - 8)
void dequantize_q4_0(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 18, out += 32) {
        const float scale = load_half(source);
        for (int i = 0; i < 16; i++) {
            out[i] = scale * (float)((source[2 + i] & 15) - 8);
            out[i + 16] = scale * (float)((source[2 + i] >> 4) - 8);
        }
    }
}

// half scale | half minimum | 16 bytes of nibbles as above; value = scale * q + minimum
void dequantize_q4_1(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 20, out += 32) {
        const float scale = load_half(source);
        const float minimum = load_half(source + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = scale * (float)(source[4 + i] & 15) + minimum;
            out[i + 16] = scale * (float)(source[4 + i] >> 4) + minimum;
        }
    }
}

// half scale | 32 fifth bits, bit i for element i | 16 bytes of nibbles; value = scale * (q - 16)
void dequantize_q5_0(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 22, out += 32) {
        const float scale = load_half(source);
        const uint32_t high = load32(source + 2);
        for (int i = 0; i < 16; i++) {
            const int first = (source[6 + i] & 15) | (int)(high >> i & 1) << 4;
            const int second = source[6 + i] >> 4 | (int)(high >> (i + 16) & 1) << 4;
            out[i] = scale * (float)(first - 16);
            out[i + 16] = scale * (float)(second - 16);
        }
    }
}

// half scale | half minimum | 32 fifth bits | 16 bytes of nibbles; value = scale * q + minimum
void dequantize_q5_1(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 24, out += 32) {
        const float scale = load_half(source);
        const float minimum = load_half(source + 2);
        const uint32_t high = load32(source + 4);
        for (int i = 0; i < 16; i++) {
            const int first = (source[8 + i] & 15) | (int)(high >> i & 1) << 4;
            const int second = source[8 + i] >> 4 | (int)(high >> (i + 16) & 1) << 4;
            out[i] = scale * (float)first + minimum;
            out[i + 16] = scale * (float)second + minimum;
        }
    }
}

// half scale | 32 signed bytes; value = scale * q
void dequantize_q8_0(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 34, out += 32) {
        const float scale = load_half(source);
        for (int i = 0; i < 32; i++) out[i] = scale * (float)(int8_t)source[2 + i];
    }
}

// The eight 6-bit scales and eight 6-bit minimums of a K super-block, packed into 12 bytes: bytes 0..3 hold scales
// 0..3 and bytes 4..7 minimums 0..3 in their low six bits; byte 8 + i holds the low nibbles of scale 4 + i and minimum
// 4 + i, whose upper two bits are the top bits of bytes i and 4 + i.
static inline void unpack_scales(const uint8_t *packed, uint8_t scales[8], uint8_t minimums[8]) {
    for (int i = 0; i < 4; i++) {
        scales[i] = packed[i] & 63;
        minimums[i] = packed[4 + i] & 63;
        scales[4 + i] = (uint8_t)((packed[8 + i] & 15) | packed[i] >> 6 << 4);
        minimums[4 + i] = (uint8_t)(packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4);
    }
}

// half scale | half minimum | 12 bytes of scales | 128 bytes: each run of 32 bytes holds sub-block 2i in its low and
// 2i + 1 in its high nibbles; value = (scale * scales[s]) * q - minimum * minimums[s]
void dequantize_q4_k(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 144, out += 256) {
        const float scale = load_half(source);
        const float minimum = load_half(source + 2);
        uint8_t scales[8], minimums[8];
        unpack_scales(source + 4, scales, minimums);
        for (int sub = 0; sub < 8; sub++) {
            const uint8_t *nibbles = source + 16 + sub / 2 * 32;
            const int shift = sub % 2 * 4;
            const float step = scale * (float)scales[sub];
            const float offset = minimum * (float)minimums[sub];
            for (int i = 0; i < 32; i++) out[sub * 32 + i] = step * (float)(nibbles[i] >> shift & 15) - offset;
        }
    }
}

// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit s of byte i belongs to element i of sub-block s.
void dequantize_q5_k(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 176, out += 256) {
        const float scale = load_half(source);
        const float minimum = load_half(source + 2);
        const uint8_t *high = source + 16;
        uint8_t scales[8], minimums[8];
        unpack_scales(source + 4, scales, minimums);
        for (int sub = 0; sub < 8; sub++) {
            const uint8_t *nibbles = source + 48 + sub / 2 * 32;
            const int shift = sub % 2 * 4;
            const float step = scale * (float)scales[sub];
            const float offset = minimum * (float)minimums[sub];
            for (int i = 0; i < 32; i++) {
                const int q = (nibbles[i] >> shift & 15) | (high[i] >> sub & 1) << 4;
                out[sub * 32 + i] = step * (float)q - offset;
            }
        }
    }
}

// 128 bytes of low nibbles | 64 bytes of upper bit pairs | 16 signed scales, one for 16 elements | half scale;
// value = (scale * scales[s]) * (q - 32). In each half of 128 elements, quarter k of 32 elements takes its nibbles from
// bytes 32 * (k % 2).. (low nibble for k < 2, high after) and its upper bits from bit pair k of bytes 0..31.
void dequantize_q6_k(const uint8_t *restrict source, size_t blocks, float *restrict out) {
    for (size_t b = 0; b < blocks; b++, source += 210, out += 256) {
        const float scale = load_half(source + 208);
        for (int part = 0; part < 8; part++) {
            const int half = part / 4, quarter = part % 4;
            const uint8_t *low = source + half * 64 + quarter % 2 * 32;
            const uint8_t *high = source + 128 + half * 32;
            const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
            for (int i = 0; i < 32; i++) {
                const float step = scale * (float)(int8_t)source[192 + part * 2 + i / 16];
                const int q = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
                out[part * 32 + i] = step * (float)(q - 32);
            }
        }
    }
}

size_t encode_f16(const float *restrict source, size_t count, uint8_t *restrict out) {
    size_t overflowed = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = float_bits(source[i]);
        const uint32_t magnitude = bits & 0x7fffffffu;
        uint32_t half;
        if (magnitude > 0x7f800000u) {
            half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
        } else if (magnitude >= 0x477ff000u) {  // 65520 is the first value that rounds to infinity
            half = 0x7c00u;
            overflowed += magnitude < 0x7f800000u;
        } else if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal half
            const uint32_t rebased = magnitude - (112u << 23);
            half = (rebased + 0xfffu + (rebased >> 13 & 1)) >> 13;
        } else {  // adding 2^23 rounds the multiple of 2^-24 to an integer, ties to even
            half = float_bits(bits_float(magnitude) * 0x1p24f + 0x1p23f) & 0x7fffu;
        }
        store16(out + 2 * i, (uint16_t)((bits >> 16 & 0x8000u) | half));
    }
    return overflowed;
}

size_t encode_bf16(const float *restrict source, size_t count, uint8_t *restrict out) {
    size_t overflowed = 0;
    for (size_t i = 0; i < count; i++) {
        const uint16_t rounded = bfloat16_of(source[i]);
        overflowed += (float_bits(source[i]) & 0x7fffffffu) < 0x7f800000u && (rounded & 0x7fffu) == 0x7f80u;
        store16(out + 2 * i, rounded);
    }
    return overflowed;
}
