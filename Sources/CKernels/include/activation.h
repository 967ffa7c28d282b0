// SwiGLU: silu(gate) ⊙ up with silu(x) = x / (1 + e^−x). Source: arXiv:2002.05202.
// A row holds gate (F) and then up (F).
#pragma once
#include <stdint.h>

/// y (N, F) from gate_up (N, 2F).
void swiglu_forward(float *y, const float *gate_up, int64_t n, int64_t f);

/// d_gate_up (N, 2F) from gate_up (N, 2F) and dy (N, F). dy is replaced by y, which the weight gradient of the
/// following layer needs.
void swiglu_backward(float *d_gate_up, float *dy_to_y, const float *gate_up, int64_t n, int64_t f);
