// Rotary position embedding.
#ifndef VARIANT
#include "rotary.h"
#include "functions_parts.h"
#include <math.h>
#define VARIANT_FILE "rotary.c"
#include "variants.h"

DISPATCH(void, rotary_apply,
         (float *x, int64_t stride, const int32_t *positions, const float *cosine, const float *sine, int64_t n,
          int64_t heads, int64_t half, float direction),
         (x, stride, positions, cosine, sine, n, heads, half, direction))

// Sines and cosines of our own, since a C library's differ in the last bit from processor to processor. Series
// are cut below 2^-55 of their value; fma is exact wherever it runs.

static void sine_cosine(double x, double *sine, double *cosine) {
    const double n = nearest(x * 0x1.45f306dc9c883p-1);
    const double r = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p0, x));  // x − n·π/2
    const double square = r * r;
    double s = 1, c = 1;
    for (int i = 16; i >= 2; i -= 2) {
        s = 1 - s * square / (i * (i + 1));
        c = 1 - c * square / ((i - 1) * i);
    }
    s *= r;
    const int64_t quarter = (int64_t)n & 3;
    *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}

void rotary_table(float *cosine, float *sine, const double *frequency, double scale, int64_t half, int64_t first,
                  int64_t last) {
    for (int64_t p = first; p < last; p++) {
        for (int64_t i = 0; i < half; i++) {
            double s, c;
            sine_cosine((double)p * frequency[i], &s, &c);
            cosine[p * half + i] = (float)(scale * c);
            sine[p * half + i] = (float)(scale * s);
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
