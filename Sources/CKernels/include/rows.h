// Plain movements between rows: bias, column sums, gathering and scattering by index. N rows of D elements.
#pragma once
#include <stdint.h>

/// x[r][c] += bias[c] for n rows that start every `stride` elements.
void rows_add_bias(float *x, int64_t stride, const float *bias, int64_t n, int64_t d);

/// sum[c] += Σ over rows of x[r][c] for first ≤ c < last, rows in order.
void rows_sum_columns(float *sum, const float *x, int64_t n, int64_t d, int64_t first, int64_t last);

/// y[r] = table[index[r]].
void rows_gather(float *y, const float *table, const int32_t *index, int64_t n, int64_t d);

/// table[index[r]][c] += x[r][c] for first ≤ c < last, rows in order; an index may repeat.
void rows_scatter_add(float *table, const float *x, const int32_t *index, int64_t n, int64_t d, int64_t first,
                      int64_t last);
