// Rotary position embedding in half-split order: element i of a head is rotated with element i + D/2.
// Source: arXiv:2104.09864; the order is that of Hugging Face checkpoints.
#pragma once
#include <stdint.h>

/// Rows first ≤ p < last of `cosine` and `sine` (positions, half): scale·cos(p·frequency[i]) and the same of sin,
/// the same bits on every processor.
void rotary_table(float *cosine, float *sine, const double *frequency, double scale, int64_t half, int64_t first,
                  int64_t last);

/// Rotates `heads` heads of D = 2·half elements at the start of each of n rows of x, in place. `direction` 1 turns
/// forward; −1 applies the transpose, which is the backward pass.
void rotary_apply(float *x, int64_t stride, const int32_t *positions, const float *cosine, const float *sine,
                  int64_t n, int64_t heads, int64_t half, float direction);
