// SwiGLU, forward and backward.
#ifndef VARIANT
#include "activation.h"
#define VARIANT_FILE "activation.c"
#include "variants.h"

DISPATCH(void, swiglu_forward, (float *y, const float *gate_up, int64_t n, int64_t f), (y, gate_up, n, f))
DISPATCH(void, swiglu_backward, (float *d_gate_up, float *dy_to_y, const float *gate_up, int64_t n, int64_t f),
         (d_gate_up, dy_to_y, gate_up, n, f))
#else

#define sigmoid VARIANT(sigmoid)
INLINE vec sigmoid(vec x) { return vec_all(1.0f) / (vec_all(1.0f) + vec_exp(-x)); }

void VARIANT(swiglu_forward)(float *y, const float *gate_up, int64_t n, int64_t f) {
    for (int64_t row = 0; row < n; row++) {
        const float *gate = gate_up + row * 2 * f, *up = gate + f;
        float *out = y + row * f;
        int64_t i = 0;
        for (; i + LANES <= f; i += LANES) {
            const vec g = vec_load(gate + i);
            vec_store(out + i, g * sigmoid(g) * vec_load(up + i));
        }
        if (i < f) {
            const vec g = vec_load_part(gate + i, f - i);
            vec_store_part(out + i, g * sigmoid(g) * vec_load_part(up + i, f - i), f - i);
        }
    }
}

void VARIANT(swiglu_backward)(float *d_gate_up, float *dy_to_y, const float *gate_up, int64_t n, int64_t f) {
    for (int64_t row = 0; row < n; row++) {
        const float *gate = gate_up + row * 2 * f, *up = gate + f;
        float *d_gate = d_gate_up + row * 2 * f, *d_up = d_gate + f, *dy = dy_to_y + row * f;
        for (int64_t i = 0; i < f; i += LANES) {
            const int64_t left = f - i;
            const int whole = left >= LANES;
            const vec g = whole ? vec_load(gate + i) : vec_load_part(gate + i, left);
            const vec u = whole ? vec_load(up + i) : vec_load_part(up + i, left);
            const vec d = whole ? vec_load(dy + i) : vec_load_part(dy + i, left);
            const vec s = sigmoid(g), silu = g * s;
            // silu'(g) = s·(1 + g·(1 − s))
            const vec slope = s * vec_fma(g, vec_all(1.0f) - s, vec_all(1.0f));
            const vec dg = d * u * slope, du = d * silu, y = silu * u;
            if (whole) {
                vec_store(d_gate + i, dg);
                vec_store(d_up + i, du);
                vec_store(dy + i, y);
            } else {
                vec_store_part(d_gate + i, dg, left);
                vec_store_part(d_up + i, du, left);
                vec_store_part(dy + i, y, left);
            }
        }
    }
}
#endif
