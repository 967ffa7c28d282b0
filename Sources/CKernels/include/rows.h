// Plain movements between rows: bias, column sums, gathering and scattering by index. N rows of D elements.
#pragma once
#include <stdint.h>

/// x[r][c] += bias[c] for n rows that start every `stride` elements.
void rows_add_bias(float *x, int64_t stride, const float *bias, int64_t n, int64_t d);

/// sum[c] += Σ over rows of x[r][c] for first ≤ c < last, rows in order.
void rows_sum_columns(float *sum, const float *x, int64_t n, int64_t d, int64_t first, int64_t last);

/// y[r] = table[index[r]].
void rows_gather(float *y, const float *table, const int32_t *index, int64_t n, int64_t d);

/// The same, rounded to bfloat16: to nearest even, NaN quiet.
void rows_gather_rounded(float *y, const float *table, const int32_t *index, int64_t n, int64_t d);

/// The same of a table of bfloat16.
void rows_gather_bf16(float *y, const uint16_t *table, const int32_t *index, int64_t n, int64_t d);

/// n numbers, rounded to bfloat16 in place as `rows_gather_rounded` does.
void rows_round(float *x, int64_t n);

/// table[index[r]][c] += x[r][c] for first ≤ c < last, rows in order; an index may repeat.
void rows_scatter_add(float *table, const float *x, const int32_t *index, int64_t n, int64_t d, int64_t first,
                      int64_t last);
