// Loops that do nothing but multiply and add: enough independent accumulators to hide the latency of each operation.
#include "peak.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// Accumulators of one round.
enum { WIDE = 24, NARROW = 12 };

#if defined(__x86_64__)

static int32_t has_bf16(void) { return __builtin_cpu_supports("avx512bf16") != 0; }
static int32_t has_avx512(void) { return __builtin_cpu_supports("avx512f") != 0; }
static int32_t has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

__attribute__((target("avx512f,avx512bf16"))) static float run_bf16(int64_t rounds) {
    __m512 sum[WIDE];
    for (int i = 0; i < WIDE; i++) sum[i] = _mm512_set1_ps((float)i);
    const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f7f3f7f), b = (__m512bh)_mm512_set1_epi32(0x3a003a00);
    for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < WIDE; i++) sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
    }
    __m512 total = sum[0];
    for (int i = 1; i < WIDE; i++) total = _mm512_add_ps(total, sum[i]);
    return _mm512_reduce_add_ps(total);
}

__attribute__((target("avx512f"))) static float run_avx512(int64_t rounds) {
    __m512 sum[WIDE];
    for (int i = 0; i < WIDE; i++) sum[i] = _mm512_set1_ps((float)i);
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < WIDE; i++) sum[i] = _mm512_fmadd_ps(a, sum[i], b);
    }
    __m512 total = sum[0];
    for (int i = 1; i < WIDE; i++) total = _mm512_add_ps(total, sum[i]);
    return _mm512_reduce_add_ps(total);
}

__attribute__((target("avx2,fma"))) static float run_avx2(int64_t rounds) {
    __m256 sum[NARROW];
    for (int i = 0; i < NARROW; i++) sum[i] = _mm256_set1_ps((float)i);
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < NARROW; i++) sum[i] = _mm256_fmadd_ps(a, sum[i], b);
    }
    __m256 total = sum[0];
    for (int i = 1; i < NARROW; i++) total = _mm256_add_ps(total, sum[i]);
    float parts[8], result = 0;
    _mm256_storeu_ps(parts, total);
    for (int i = 0; i < 8; i++) result += parts[i];
    return result;
}

#endif

static int32_t always(void) { return 1; }

typedef float quad __attribute__((vector_size(16)));

/// Multiplies and adds apart, which any processor can do.
static float run_portable(int64_t rounds) {
    quad sum[NARROW];
    for (int i = 0; i < NARROW; i++) sum[i] = (quad){(float)i, 1, 2, 3};
    const quad a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {0.001f, 0.001f, 0.001f, 0.001f};
    for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < NARROW; i++) sum[i] = a * sum[i] + b;
    }
    quad total = sum[0];
    for (int i = 1; i < NARROW; i++) total += sum[i];
    return total[0] + total[1] + total[2] + total[3];
}

static const peak_loop loops[] = {
#if defined(__x86_64__)
    {"avx512_bf16", has_bf16, run_bf16, 64 * WIDE},
    {"avx512", has_avx512, run_avx512, 32 * WIDE},
    {"avx2", has_avx2, run_avx2, 16 * NARROW},
#endif
    {"portable", always, run_portable, 8 * NARROW},
};

const peak_loop *peak_loop_at(int64_t index) {
    return index < (int64_t)(sizeof loops / sizeof loops[0]) ? &loops[index] : NULL;
}

/// Four streams at a time, each in its own quarter: one alone waits for memory more than it must.
uint64_t peak_read(const uint64_t *words, int64_t count) {
    enum { STREAMS = 4, LINE = 8 };
    const int64_t quarter = count / (STREAMS * LINE) * LINE;
    uint64_t sum[STREAMS][LINE] = {{0}}, total = 0;
    for (int64_t i = 0; i < quarter; i += LINE)
        for (int s = 0; s < STREAMS; s++)
            for (int j = 0; j < LINE; j++) sum[s][j] += words[s * quarter + i + j];
    for (int s = 0; s < STREAMS; s++)
        for (int j = 0; j < LINE; j++) total += sum[s][j];
    for (int64_t i = STREAMS * quarter; i < count; i++) total += words[i];
    return total;
}
