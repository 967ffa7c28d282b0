// Maxima, weights and their sums of a row of logits: the vector passes, one copy for each instruction set.
#include "sampling_rows.h"

#pragma STDC FP_CONTRACT OFF

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef double f64x16 __attribute__((vector_size(128)));
typedef double f64x8 __attribute__((vector_size(64)));
typedef double f64x4 __attribute__((vector_size(32)));
typedef double f64x2 __attribute__((vector_size(16)));
typedef float f32x16_unaligned __attribute__((vector_size(64), aligned(4)));

// Vectors never cross a function boundary (that would tie the calling convention to the instruction set): macros.
#define load(address) (*(const f32x16_unaligned *)(address))
#define FMA(a, b, c) __builtin_elementwise_fma(a, b, c)
#define SELECT(mask, yes, no) ((f32x16)(((i32x16)(yes) & (mask)) | ((i32x16)(no) & ~(mask))))

// Halves, then halves of halves: lane i meets lane i + 8, then i + 4, i + 2, i + 1.
#define TREE_SUM(result, lanes)                                                                                    \
    do {                                                                                                           \
        f64x16 all_ = (lanes);                                                                                     \
        f64x8 eight_ = __builtin_shufflevector(all_, all_, 0, 1, 2, 3, 4, 5, 6, 7)                                 \
            + __builtin_shufflevector(all_, all_, 8, 9, 10, 11, 12, 13, 14, 15);                                   \
        f64x4 four_ = __builtin_shufflevector(eight_, eight_, 0, 1, 2, 3)                                          \
            + __builtin_shufflevector(eight_, eight_, 4, 5, 6, 7);                                                 \
        f64x2 two_ = __builtin_shufflevector(four_, four_, 0, 1) + __builtin_shufflevector(four_, four_, 2, 3);    \
        (result) = two_[0] + two_[1];                                                                              \
    } while (0)

// e^d for d in [−87, 0]: d = n·ln 2 + r with |r| ≤ 0.3466, e^r = 1 + r + r²·q(r), then 2^n by the exponent bits.
// q: relative minimax fit of degree 4 on that interval, 3.1e-9 before rounding, 7.8e-8 with it. Adding 1.5·2^23 rounds
// to an integer in the low bits; ln 2 is split so that n·high part is exact.
#define EXPONENTIAL(result, d)                                                                                     \
    do {                                                                                                           \
        f32x16 shifted_ = FMA(d, (f32x16){} + 0x1.715476p+0f, (f32x16){} + 0x1.8p23f);                             \
        f32x16 n_ = shifted_ - 0x1.8p23f;                                                                          \
        f32x16 r_ = FMA(n_, (f32x16){} - 0x1.63p-1f, d);                                                           \
        r_ = FMA(n_, (f32x16){} + 0x1.bd0106p-13f, r_);                                                            \
        f32x16 q_ = FMA(r_, (f32x16){} + 0x1.6a23dp-10f, (f32x16){} + 0x1.123a2p-7f);                              \
        q_ = FMA(q_, r_, (f32x16){} + 0x1.5558f2p-5f);                                                             \
        q_ = FMA(q_, r_, (f32x16){} + 0x1.555492p-3f);                                                             \
        q_ = FMA(q_, r_, (f32x16){} + 0x1.fffffcp-2f);                                                             \
        q_ = FMA(q_, r_, (f32x16){} + 1.0f);                                                                       \
        q_ = FMA(q_, r_, (f32x16){} + 1.0f);                                                                       \
        (result) = (f32x16)((i32x16)q_ + ((i32x16)shifted_ << 23));                                                \
    } while (0)

// The block's logits; the last block is copied and filled up with −inf.
static inline const float *block_source(const float *logits, int64_t count, int64_t block, float *tail) {
    int64_t start = block * SAMPLING_BLOCK;
    if (count - start >= SAMPLING_BLOCK) return logits + start;
    for (int64_t i = 0; i < SAMPLING_BLOCK; i++) tail[i] = start + i < count ? logits[start + i] : -__builtin_inff();
    return tail;
}

#define ROWS(name) name##_baseline
#include "sampling_rows_body.h"
#undef ROWS

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define ROWS(name) name##_avx2
#include "sampling_rows_body.h"
#undef ROWS
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx2,fma"))), apply_to = function)
#define ROWS(name) name##_avx512
#include "sampling_rows_body.h"
#undef ROWS
#pragma clang attribute pop
#endif

const sampling_row_kernels *sampling_rows(sampling_instruction_set set) {
#if defined(__x86_64__)
    if (set == SAMPLING_AVX512) return &kernels_avx512;
    if (set == SAMPLING_AVX2) return &kernels_avx2;
#endif
    return &kernels_baseline;
}

sampling_instruction_set sampling_best_instruction_set(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return SAMPLING_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SAMPLING_AVX2;
#endif
    return SAMPLING_BASELINE;
}

float sampling_exponential(sampling_instruction_set set, float x) { return sampling_rows(set)->exponential(x); }
