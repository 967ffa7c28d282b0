// AdamW and the gradient norm it needs. Source: arXiv:1711.05101 (decoupled weight decay, Algorithm 2).
#pragma once
#include <stdint.h>

/// Σ x² in double precision, elements in order within each of 16 lanes.
double sum_of_squares(const float *x, int64_t n);

typedef struct {
    /// Multiplies the gradient: the clipping.
    float gradient_scale;
    float beta1, beta2, epsilon;
    /// 1 − learning rate · weight decay.
    float keep;
    /// learning rate / (1 − β1^t) and 1 / sqrt(1 − β2^t).
    float step_size, second_scale;
} adamw_step;

/// p ← keep·p − step_size·m / (second_scale·sqrt(v) + ε) with the moments updated; the gradient is set to 0.
void adamw_update(float *parameters, float *gradients, float *first, float *second, int64_t n,
                  const adamw_step *step);
