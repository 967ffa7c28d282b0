// Operands of the exact matrix product: float32 rounded to bfloat16 and laid out as the kernels read it.
#ifndef VARIANT
#include "bfloat16.h"
#include "matmul_bf16.h"
#define VARIANT_FILE "matmul_bf16_pack.c"

enum { PANEL = MATMUL_BF16_PANEL, BLOCK = MATMUL_BF16_BLOCK, BLOCK_PAIRS = BLOCK / 2, GROUP = 16 };

#define UNROLL _Pragma("clang loop unroll(full)")

#include "variants.h"

DISPATCH(void, matmul_bf16_pack_weights,
         (uint32_t *packed, const float *w, int64_t stride, int64_t n, int64_t k, int64_t first, int64_t last),
         (packed, w, stride, n, k, first, last))
DISPATCH(void, matmul_bf16_pack_weights_bf16,
         (uint32_t *packed, const uint16_t *w, int64_t stride, int64_t n, int64_t k, int64_t first, int64_t last),
         (packed, w, stride, n, k, first, last))
DISPATCH(void, matmul_bf16_pack_transposed,
         (uint32_t *packed, const float *w, int64_t stride, int64_t n, int64_t k, int64_t first, int64_t last),
         (packed, w, stride, n, k, first, last))
DISPATCH(void, matmul_bf16_pack_transposed_bf16,
         (uint32_t *packed, const uint16_t *w, int64_t stride, int64_t n, int64_t k, int64_t first, int64_t last),
         (packed, w, stride, n, k, first, last))
DISPATCH(void, matmul_bf16_pack_rows,
         (const matmul_bf16_kernel *kernel, uint32_t *packed, const float *x, int64_t stride, int64_t rows, int64_t k,
          int64_t first, int64_t last),
         (kernel, packed, x, stride, rows, k, first, last))
DISPATCH(void, matmul_bf16_pack_columns,
         (const matmul_bf16_kernel *kernel, uint32_t *packed, const float *x, int64_t stride, int64_t rows, int64_t k,
          int64_t first, int64_t last),
         (kernel, packed, x, stride, rows, k, first, last))
DISPATCH(void, matmul_bf16_round, (uint16_t *bits, const float *x, int64_t count), (bits, x, count))
#else

#define word_vec VARIANT(word_vec)
#define half_words VARIANT(half_words)
#define rounded VARIANT(rounded)
#define rounded_part VARIANT(rounded_part)
#define widened_part VARIANT(widened_part)
#define pairs_of_row VARIANT(pairs_of_row)
#define pairs_of_row_bf16 VARIANT(pairs_of_row_bf16)
#define store_words VARIANT(store_words)
#define stream_words VARIANT(stream_words)
#define streamed VARIANT(streamed)
#define stored VARIANT(stored)
#define transpose VARIANT(transpose)
#define join VARIANT(join)

typedef uint32_t word_vec __attribute__((vector_size(64)));
typedef uint32_t half_words __attribute__((vector_size(64), aligned(4)));

INLINE void store_words(uint32_t *p, word_vec v) { *(half_words *)p = v; }
/// Past the caches: for what is not read again soon.
INLINE void stream_words(uint32_t *p, word_vec v) { __builtin_nontemporal_store(v, (word_vec *)p); }
/// What was streamed is there before the caller says so; what was stored needs nothing.
INLINE void streamed(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
INLINE void stored(void) {}

/// Rounded to bfloat16 in the high half, low half undefined. To nearest even by adding 0x7FFF and the last kept bit;
/// NaN keeps its high half and becomes quiet.
INLINE word_vec rounded(word_vec bits) {
    const word_vec nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
    const word_vec is_nan = (word_vec)((bits & 0x7FFFFFFFu) > 0x7F800000u);
    return (nearest & ~is_nan) | ((bits | 0x00400000u) & is_nan);
}

/// Up to 16 floats (missing ones 0), rounded.
INLINE word_vec rounded_part(const float *x, int64_t n) {
    return rounded((word_vec)(n >= 16 ? vec_load(x) : n > 0 ? vec_load_part(x, n) : (vec){0}));
}

/// The same of bfloat16.
INLINE word_vec widened_part(const uint16_t *x, int64_t n) {
    uint16_t values[16] = {0};
    if (n > 0) memcpy(values, x, (size_t)(n < 16 ? n : 16) * sizeof(uint16_t));
    word_vec v;
    for (int i = 0; i < 16; i++) v[i] = (uint32_t)values[i] << 16;
    return v;
}

/// Words of a pair: `even` in the low half, `odd` in the high half.
INLINE word_vec join(word_vec even, word_vec odd) { return (even >> 16) | (odd & 0xFFFF0000u); }

/// 16 pairs of a row that has n elements left.
INLINE word_vec pairs_of_row(const float *x, int64_t n) {
    const word_vec a = rounded_part(x, n), b = rounded_part(x + 16, n - 16);
    const word_vec even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const word_vec odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return join(even, odd);
}
INLINE word_vec pairs_of_row_bf16(const uint16_t *x, int64_t n) {
    word_vec v = {0};
    if (n >= BLOCK) memcpy(&v, x, BLOCK * sizeof(uint16_t));
    else if (n > 0) memcpy(&v, x, (size_t)n * sizeof(uint16_t));
    return v;
}

/// 16 rows of 16 words, in place: within quarters of a vector by words and by pairs of them, then quarters.
INLINE void transpose(word_vec v[16]) {
    word_vec t[16];
    UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    UNROLL for (int i = 0; i < 16; i += 4) {
        UNROLL for (int j = 0; j < 2; j++) {
            const word_vec a = t[i + j], b = t[i + j + 2];
            word_vec *to = v + i + 2 * j;
            to[0] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
            to[1] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        }
    }
    UNROLL for (int i = 0; i < 16; i += 8) {
        UNROLL for (int j = 0; j < 4; j++) {
            const word_vec a = v[i + j], b = v[i + j + 4];
            t[i + j] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
            t[i + j + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
        }
    }
    UNROLL for (int i = 0; i < 8; i++) {
        v[i] = __builtin_shufflevector(t[i], t[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        v[i + 8] =
            __builtin_shufflevector(t[i], t[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
}

#define PACK_WEIGHTS(name, element, pairs_of, store, finish)                                                           \
    void VARIANT(name)(uint32_t *packed, const element *w, int64_t stride, int64_t n, int64_t k, int64_t first,        \
                       int64_t last) {                                                                                 \
        const int64_t pairs = matmul_bf16_pairs(k);                                                                    \
        for (int64_t group = first * 2; group < last * 2; group++) {                                                   \
            uint32_t *out = packed + group / 2 * pairs * PANEL + group % 2 * GROUP;                                    \
            const int64_t outputs = n - group * GROUP;                                                                 \
            for (int64_t start = 0; start < pairs; start += BLOCK_PAIRS) {                                             \
                word_vec rows[16];                                                                                     \
                UNROLL for (int r = 0; r < 16; r++) {                                                                  \
                    const element *from = w + (group * GROUP + r) * stride + 2 * start;                                \
                    rows[r] = r < outputs ? pairs_of(from, k - 2 * start) : (word_vec){0};                             \
                }                                                                                                      \
                transpose(rows);                                                                                       \
                const int64_t left = pairs - start;                                                                    \
                for (int64_t i = 0; i < BLOCK_PAIRS && i < left; i++) store(out + (start + i) * PANEL, rows[i]);       \
            }                                                                                                          \
        }                                                                                                              \
        finish();                                                                                                      \
    }
PACK_WEIGHTS(matmul_bf16_pack_weights, float, pairs_of_row, store_words, stored)
// A policy's matrices of a new version, one after another: more than any cache holds.
PACK_WEIGHTS(matmul_bf16_pack_weights_bf16, uint16_t, pairs_of_row_bf16, stream_words, streamed)

#define PACK_TRANSPOSED(name, element, part)                                                                           \
    void VARIANT(name)(uint32_t *packed, const element *w, int64_t stride, int64_t n, int64_t k, int64_t first,        \
                       int64_t last) {                                                                                 \
        const int64_t pairs = matmul_bf16_pairs(k);                                                                    \
        for (int64_t pair = first; pair < last; pair++) {                                                              \
            const element *even = w + 2 * pair * stride, *odd = even + stride;                                         \
            const int has_odd = 2 * pair + 1 < k;                                                                      \
            for (int64_t at = 0; at < matmul_bf16_panels(n) * PANEL; at += GROUP) {                                    \
                uint32_t *out = packed + at / PANEL * pairs * PANEL + pair * PANEL + at % PANEL;                       \
                store_words(out, join(part(even + at, n - at), has_odd ? part(odd + at, n - at) : (word_vec){0}));     \
            }                                                                                                          \
        }                                                                                                              \
    }
PACK_TRANSPOSED(matmul_bf16_pack_transposed, float, rounded_part)
PACK_TRANSPOSED(matmul_bf16_pack_transposed_bf16, uint16_t, widened_part)

/// One row's 16 pairs into a tile.
#define store_row VARIANT(store_row)
INLINE void store_row(uint32_t *out, word_vec pairs, int64_t row_words) {
    if (row_words == BLOCK) {
        store_words(out, pairs & 0xFFFF0000u);
        store_words(out + BLOCK_PAIRS, pairs << 16);
    } else {
        store_words(out, pairs);
    }
}

void VARIANT(matmul_bf16_pack_rows)(const matmul_bf16_kernel *kernel, uint32_t *packed, const float *x, int64_t stride,
                                    int64_t rows, int64_t k, int64_t first, int64_t last) {
    for (int64_t tile = first; tile < last; tile++) {
        const int64_t start = matmul_bf16_tile_start(kernel, rows, tile);
        const int64_t count = matmul_bf16_tile_start(kernel, rows, tile + 1) - start;
        uint32_t *out = packed + matmul_bf16_row_words(kernel, start, k);
        for (int64_t r = 0; r < count; r++) {
            const float *from = x + (start + r) * stride;
            uint32_t *to = out + r * kernel->row_words;
            for (int64_t at = 0; at < k; at += BLOCK, to += count * kernel->row_words)
                store_row(to, pairs_of_row(from + at, k - at), kernel->row_words);
        }
    }
}

/// 32 steps of K for one tile: `count` of its rows, n columns of x from here on, k steps left.
#define columns_block VARIANT(columns_block)
INLINE void columns_block(uint32_t *out, const float *x, int64_t stride, int64_t count, int64_t n, int64_t k,
                          int64_t row_words) {
    word_vec pairs[16];
    if (n >= GROUP && k >= BLOCK) {
        UNROLL for (int i = 0; i < BLOCK_PAIRS; i++) {
            const float *even = x + 2 * i * stride;
            pairs[i] = join(rounded((word_vec)vec_load(even)), rounded((word_vec)vec_load(even + stride)));
        }
    } else {
        for (int i = 0; i < BLOCK_PAIRS; i++) {
            const float *even = x + 2 * i * stride;
            pairs[i] = join(rounded_part(even, 2 * i < k ? n : 0), rounded_part(even + stride, 2 * i + 1 < k ? n : 0));
        }
    }
    transpose(pairs);
    UNROLL for (int r = 0; r < GROUP; r++) {
        if (r < count) store_row(out + r * row_words, pairs[r], row_words);
    }
}

void VARIANT(matmul_bf16_pack_columns)(const matmul_bf16_kernel *kernel, uint32_t *packed, const float *x,
                                       int64_t stride, int64_t rows, int64_t k, int64_t first, int64_t last) {
    const int64_t row_words = kernel->row_words, begin = matmul_bf16_tile_start(kernel, rows, first);
    const int64_t tiles = matmul_bf16_tiles(kernel, rows), least = tiles ? rows / tiles : 0;
    const int64_t larger = tiles ? rows % tiles : 0;
    for (int64_t at = 0; at < k; at += BLOCK) {
        int64_t start = begin;
        for (int64_t tile = first; tile < last; tile++) {
            const int64_t count = least + (tile < larger), n = rows - start;
            uint32_t *out = packed + matmul_bf16_row_words(kernel, start, k) + at / BLOCK * count * row_words;
            if (row_words == BLOCK) columns_block(out, x + at * stride + start, stride, count, n, k - at, BLOCK);
            else columns_block(out, x + at * stride + start, stride, count, n, k - at, BLOCK_PAIRS);
            start += count;
        }
    }
}

void VARIANT(matmul_bf16_round)(uint16_t *restrict bits, const float *restrict x, int64_t count) {
    for (int64_t i = 0; i < count; i++) bits[i] = bfloat16_of(x[i]);
}
#endif
