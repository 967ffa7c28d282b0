// Which kernels of the exact matrix product there are, and the scalar one that the others are checked against.
#include "matmul_bf16_kernels.h"
#include "matmul_bf16_mode.h"
#include <float.h>
#include <math.h>
#include <string.h>

const matmul_bf16_kernel *matmul_bf16_kernel_at(int64_t index) {
    static const matmul_bf16_kernel *const kernels[] = {
#if defined(__x86_64__)
        &matmul_bf16_kernel_avx512_bf16,
        &matmul_bf16_kernel_avx512,
        &matmul_bf16_kernel_avx2,
#endif
        &matmul_bf16_kernel_scalar,
    };
    const int64_t count = sizeof kernels / sizeof kernels[0];
    return index >= 0 && index < count ? kernels[index] : NULL;
}

// The scalar kernel does not use the processor's flushing: it works it out from ordinary IEEE arithmetic, so it is a
// reference for the others and right on processors without such a mode.

/// Denormals become zero of their sign.
static float flushed(float x) { return fabsf(x) < FLT_MIN ? copysignf(0.0f, x) : x; }

/// fma(a, b, c) of values that are no denormals, tiny results flushed. A result is tiny if its magnitude, rounded to 24
/// bits as if exponents had no limit, is below 2^-126. Ordinary rounding has fewer bits down there and may yield 2^-126
/// itself for such a result: then the same sum scaled by 2^64 tells. Scaling is exact and overflows nothing: sums have
/// at most 24 bits below their larger term, so both terms are below 2^-100 here and the smaller factor is below 2^-50.
static float fma_flushed(float a, float b, float c) {
    const float sum = fmaf(a, b, c);
    if (fabsf(sum) == FLT_MIN) {
        const float larger = fabsf(a) < fabsf(b) ? b : a, smaller = fabsf(a) < fabsf(b) ? a : b;
        if (fabsf(fmaf(larger, smaller * 0x1p64f, c * 0x1p64f)) < FLT_MIN * 0x1p64f) return copysignf(0.0f, sum);
    }
    return flushed(sum);
}

static float element(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return flushed(value);
}

enum { TILE_ROWS = 12, ROW_WORDS = 32, BLOCK_PAIRS = MATMUL_BF16_BLOCK / 2 };

static float sum_of(const uint32_t *x, int64_t block_words, const uint32_t *w, int64_t k, float sum) {
    for (int64_t pair = 0; pair < matmul_bf16_pairs(k); pair++) {
        const uint32_t *at = x + pair / BLOCK_PAIRS * block_words + pair % BLOCK_PAIRS;
        const uint32_t word = w[pair * MATMUL_BF16_PANEL];
        sum = fma_flushed(element(at[0]), element(word & 0xFFFF0000u), sum);
        sum = fma_flushed(element(at[BLOCK_PAIRS]), element(word << 16), sum);
    }
    return sum;
}

static NOT_INLINED void product(const matmul_bf16_product *p) {
    const int64_t last = p->last_panel * MATMUL_BF16_PANEL;
    const int64_t row_words = matmul_bf16_row_words(&matmul_bf16_kernel_scalar, 1, p->k);
    for (int64_t tile = 0; tile < matmul_bf16_tiles(&matmul_bf16_kernel_scalar, p->row_count); tile++) {
        const int64_t start = matmul_bf16_tile_start(&matmul_bf16_kernel_scalar, p->row_count, tile);
        const int64_t end = matmul_bf16_tile_start(&matmul_bf16_kernel_scalar, p->row_count, tile + 1);
        for (int64_t row = start; row < end; row++) {
            const uint32_t *x = p->rows + start * row_words + (row - start) * ROW_WORDS;
            for (int64_t n = p->first_panel * MATMUL_BF16_PANEL; n < last && n < p->output_count; n++) {
                const uint32_t *w = p->weights + n / MATMUL_BF16_PANEL * p->panel_stride + n % MATMUL_BF16_PANEL;
                float *y = p->y + row * p->y_stride + n;
                const float from = p->mode == MATMUL_BF16_CONTINUE ? flushed(*y) : 0.0f;
                const float sum = sum_of(x, (end - start) * ROW_WORDS, w, p->k, from);
                *y = p->mode == MATMUL_BF16_ADD ? flushed(flushed(*y) + sum) : sum;
            }
        }
    }
}

static void multiply(const matmul_bf16_product *p) {
#if defined(__x86_64__)
    const uint32_t before = mode_set(MODE_DEFAULT);
    product(p);
    mode_restore(before);
#else
    product(p);
#endif
}

static int32_t supported(void) { return 1; }

const matmul_bf16_kernel matmul_bf16_kernel_scalar = {
    .name = "scalar", .tile_rows = TILE_ROWS, .row_words = ROW_WORDS, .supported = supported, .multiply = multiply};
