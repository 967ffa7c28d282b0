// RMSNorm: y = w ⊙ x · inverse, inverse = 1 / sqrt(mean(x²) + ε). Source: arXiv:1910.07467.
// N rows, each with M vectors of D elements; a row starts every `*_stride` elements. M = 1 normalises whole rows;
// M = heads normalises each head on its own with the same weight.
#pragma once
#include <stdint.h>

/// y may be x. `inverse` (N, M) is what backward needs; NULL leaves it out.
void rmsnorm_forward(float *y, int64_t y_stride, float *inverse, const float *x, int64_t x_stride, const float *w,
                     int64_t n, int64_t m, int64_t d, float epsilon);

/// dx from dy: added when `accumulate`, else overwritten. dx may be dy when not accumulating.
void rmsnorm_backward_input(float *dx, int64_t dx_stride, const float *inverse, const float *dy, int64_t dy_stride,
                            const float *x, int64_t x_stride, const float *w, int64_t n, int64_t m, int64_t d,
                            int32_t accumulate);

/// dw[c] += Σ over rows and vectors of dy·x·inverse for first ≤ c < last. Rows are added in order, so splitting the
/// columns over threads cannot change a sum.
void rmsnorm_backward_weight(float *dw, const float *inverse, const float *dy, int64_t dy_stride, const float *x,
                             int64_t x_stride, int64_t n, int64_t m, int64_t d, int64_t first, int64_t last);
