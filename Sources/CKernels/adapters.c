// W + s·B·A, and copies between rows of different widths.
#ifndef VARIANT
#include "adapters.h"
#define VARIANT_FILE "adapters.c"

// Rows of w that share the loads of a.
enum { MERGE_ROWS = 4 };

#include "variants.h"

DISPATCH(void, adapter_merge,
         (float *w, const float *a, const float *b, float scale, int64_t rows, int64_t inputs, int64_t rank),
         (w, a, b, scale, rows, inputs, rank))
DISPATCH(void, rows_scale,
         (float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t n, int64_t d, float scale),
         (y, y_stride, x, x_stride, n, d, scale))
#else

#define merge_rows VARIANT(merge_rows)

/// `count` rows (at most MERGE_ROWS, known when compiled) at once, so that a is read once for all of them.
INLINE void merge_rows(float *w, const float *a, const float *b, float scale, const int count, int64_t inputs,
                       int64_t rank) {
    for (int64_t i = 0; i < inputs; i += LANES) {
        const int64_t left = inputs - i;
        vec sum[MERGE_ROWS] = {{0}};
        for (int64_t k = 0; k < rank; k++) {
            const float *at = a + k * inputs + i;
            const vec x = left >= LANES ? vec_load(at) : vec_load_part(at, left);
            for (int r = 0; r < count; r++) sum[r] = vec_fma(vec_all(b[r * rank + k]), x, sum[r]);
        }
        for (int r = 0; r < count; r++) {
            float *at = w + r * inputs + i;
            if (left >= LANES) vec_store(at, vec_fma(vec_all(scale), sum[r], vec_load(at)));
            else vec_store_part(at, vec_fma(vec_all(scale), sum[r], vec_load_part(at, left)), left);
        }
    }
}

void VARIANT(adapter_merge)(float *w, const float *a, const float *b, float scale, int64_t rows, int64_t inputs,
                            int64_t rank) {
    int64_t row = 0;
    for (; row + MERGE_ROWS <= rows; row += MERGE_ROWS)
        merge_rows(w + row * inputs, a, b + row * rank, scale, MERGE_ROWS, inputs, rank);
    for (; row < rows; row++) merge_rows(w + row * inputs, a, b + row * rank, scale, 1, inputs, rank);
}

void VARIANT(rows_scale)(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t n, int64_t d,
                         float scale) {
    for (int64_t row = 0; row < n; row++) {
        float *restrict out = y + row * y_stride;
        const float *restrict in = x + row * x_stride;
        for (int64_t i = 0; i < d; i++) out[i] = scale * in[i];
    }
}
#endif
