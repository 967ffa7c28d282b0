// Low-rank adapters: added to the weights they adapt, and the small movements their gradients need.
#pragma once
#include <stdint.h>

/// w[o][i] ← fma(scale, Σ_k b[o][k]·a[k][i], w[o][i]) for `rows` rows o of w (rows, inputs) and b (rows, rank), with a
/// (rank, inputs): k ascending, one fma each, from +0. An element's bits depend on its own row of b and column of a.
void adapter_merge(float *w, const float *a, const float *b, float scale, int64_t rows, int64_t inputs, int64_t rank);

/// y ← scale·x for n rows of d elements, rows `y_stride` and `x_stride` apart.
void rows_scale(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t n, int64_t d, float scale);
