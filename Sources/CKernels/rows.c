// Plain movements between rows.
#ifndef VARIANT
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
