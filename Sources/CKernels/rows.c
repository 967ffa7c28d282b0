// Plain movements between rows.
#ifndef VARIANT
#include "bfloat16.h"
#include "rows.h"
#define VARIANT_FILE "rows.c"
#include "variants.h"

DISPATCH(void, rows_add_bias, (float *x, int64_t stride, const float *bias, int64_t n, int64_t d),
         (x, stride, bias, n, d))
DISPATCH(void, rows_sum_columns, (float *sum, const float *x, int64_t n, int64_t d, int64_t first, int64_t last),
         (sum, x, n, d, first, last))
DISPATCH(void, rows_scatter_add,
         (float *table, const float *x, const int32_t *index, int64_t n, int64_t d, int64_t first, int64_t last),
         (table, x, index, n, d, first, last))

void rows_gather(float *y, const float *table, const int32_t *index, int64_t n, int64_t d) {
    for (int64_t row = 0; row < n; row++)
        memcpy(y + row * d, table + (int64_t)index[row] * d, (size_t)d * sizeof(float));
}

static inline float rounded(float x) { return float_of_bfloat16(bfloat16_of(x)); }

void rows_gather_rounded(float *y, const float *table, const int32_t *index, int64_t n, int64_t d) {
    for (int64_t row = 0; row < n; row++) {
        float *restrict out = y + row * d;
        const float *restrict in = table + (int64_t)index[row] * d;
        for (int64_t i = 0; i < d; i++) out[i] = rounded(in[i]);
    }
}

void rows_gather_bf16(float *y, const uint16_t *table, const int32_t *index, int64_t n, int64_t d) {
    for (int64_t row = 0; row < n; row++) {
        float *restrict out = y + row * d;
        const uint16_t *restrict in = table + (int64_t)index[row] * d;
        for (int64_t i = 0; i < d; i++) out[i] = float_of_bfloat16(in[i]);
    }
}

void rows_round(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = rounded(x[i]);
}
#else

void VARIANT(rows_add_bias)(float *x, int64_t stride, const float *bias, int64_t n, int64_t d) {
    for (int64_t row = 0; row < n; row++) {
        float *restrict out = x + row * stride;
        for (int64_t i = 0; i < d; i++) out[i] += bias[i];
    }
}

void VARIANT(rows_sum_columns)(float *sum, const float *x, int64_t n, int64_t d, int64_t first, int64_t last) {
    for (int64_t row = 0; row < n; row++) {
        const float *restrict in = x + row * d;
        for (int64_t i = first; i < last; i++) sum[i] += in[i];
    }
}

void VARIANT(rows_scatter_add)(float *table, const float *x, const int32_t *index, int64_t n, int64_t d,
                               int64_t first, int64_t last) {
    for (int64_t row = 0; row < n; row++) {
        float *restrict out = table + (int64_t)index[row] * d;
        const float *restrict in = x + row * d;
        for (int64_t i = first; i < last; i++) out[i] += in[i];
    }
}
#endif
