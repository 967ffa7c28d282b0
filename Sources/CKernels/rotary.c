// Rotary position embedding.
#ifndef VARIANT
#include "rotary.h"
#define VARIANT_FILE "rotary.c"
#include "variants.h"

DISPATCH(void, rotary_apply,
         (float *x, int64_t stride, const int32_t *positions, const float *cosine, const float *sine, int64_t n,
          int64_t heads, int64_t half, float direction),
         (x, stride, positions, cosine, sine, n, heads, half, direction))

void rotary_table(float *cosine, float *sine, const double *frequency, double scale, int64_t half, int64_t first,
                  int64_t last) {
    for (int64_t p = first; p < last; p++) {
        for (int64_t i = 0; i < half; i++) {
            const double angle = (double)p * frequency[i];
            cosine[p * half + i] = (float)(scale * cos(angle));
            sine[p * half + i] = (float)(scale * sin(angle));
        }
    }
}
#else

void VARIANT(rotary_apply)(float *x, int64_t stride, const int32_t *positions, const float *cosine, const float *sine,
                           int64_t n, int64_t heads, int64_t half, float direction) {
    for (int64_t row = 0; row < n; row++) {
        const float *restrict c = cosine + positions[row] * half, *restrict s = sine + positions[row] * half;
        for (int64_t head = 0; head < heads; head++) {
            float *restrict a = x + row * stride + head * 2 * half, *restrict b = a + half;
            for (int64_t i = 0; i < half; i++) {
                const float p = a[i], q = b[i], t = direction * s[i];
                a[i] = p * c[i] - q * t;
                b[i] = q * c[i] + p * t;
            }
        }
    }
}
#endif
