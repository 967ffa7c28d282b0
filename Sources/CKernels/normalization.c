// RMSNorm, forward and backward.
#ifndef VARIANT
#include "normalization.h"
#define VARIANT_FILE "normalization.c"
#include "variants.h"

DISPATCH(void, rmsnorm_forward,
         (float *y, int64_t y_stride, float *inverse, const float *x, int64_t x_stride, const float *w, int64_t n,
          int64_t m, int64_t d, float epsilon),
         (y, y_stride, inverse, x, x_stride, w, n, m, d, epsilon))
DISPATCH(void, rmsnorm_backward_input,
         (float *dx, int64_t dx_stride, const float *inverse, const float *dy, int64_t dy_stride, const float *x,
          int64_t x_stride, const float *w, int64_t n, int64_t m, int64_t d, int32_t accumulate),
         (dx, dx_stride, inverse, dy, dy_stride, x, x_stride, w, n, m, d, accumulate))
DISPATCH(void, rmsnorm_backward_weight,
         (float *dw, const float *inverse, const float *dy, int64_t dy_stride, const float *x, int64_t x_stride,
          int64_t n, int64_t m, int64_t d, int64_t first, int64_t last),
         (dw, inverse, dy, dy_stride, x, x_stride, n, m, d, first, last))
#else

#define inverse_rms VARIANT(inverse_rms)
INLINE float inverse_rms(const float *x, int64_t d, float epsilon) {
    vec a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= d; i += 2 * LANES) {
        const vec p = vec_load(x + i), q = vec_load(x + i + LANES);
        a = vec_fma(p, p, a);
        b = vec_fma(q, q, b);
    }
    for (; i < d; i += LANES) {
        const vec p = i + LANES <= d ? vec_load(x + i) : vec_load_part(x + i, d - i);
        a = vec_fma(p, p, a);
    }
    return 1.0f / sqrtf(vec_sum(a + b) / (float)d + epsilon);
}

void VARIANT(rmsnorm_forward)(float *y, int64_t y_stride, float *inverse, const float *x, int64_t x_stride,
                              const float *w, int64_t n, int64_t m, int64_t d, float epsilon) {
    for (int64_t row = 0; row < n; row++) {
        for (int64_t part = 0; part < m; part++) {
            const float *in = x + row * x_stride + part * d;
            float *out = y + row * y_stride + part * d;
            const float r = inverse_rms(in, d, epsilon);
            if (inverse) inverse[row * m + part] = r;
            for (int64_t i = 0; i < d; i++) out[i] = in[i] * r * w[i];
        }
    }
}

void VARIANT(rmsnorm_backward_input)(float *dx, int64_t dx_stride, const float *inverse, const float *dy,
                                     int64_t dy_stride, const float *x, int64_t x_stride, const float *w, int64_t n,
                                     int64_t m, int64_t d, int32_t accumulate) {
    for (int64_t row = 0; row < n; row++) {
        for (int64_t part = 0; part < m; part++) {
            const float *in = x + row * x_stride + part * d, *up = dy + row * dy_stride + part * d;
            float *out = dx + row * dx_stride + part * d;
            vec sum = {0};
            int64_t i = 0;
            for (; i + LANES <= d; i += LANES)
                sum = vec_fma(vec_load(up + i) * vec_load(w + i), vec_load(in + i), sum);
            if (i < d)
                sum = vec_fma(vec_load_part(up + i, d - i) * vec_load_part(w + i, d - i),
                              vec_load_part(in + i, d - i), sum);
            // dx = r·(w·dy − x·r²·mean(w·dy·x))
            const float r = inverse[row * m + part], k = vec_sum(sum) / (float)d * r * r;
            if (accumulate) {
                for (i = 0; i < d; i++) out[i] += r * (w[i] * up[i] - in[i] * k);
            } else {
                for (i = 0; i < d; i++) out[i] = r * (w[i] * up[i] - in[i] * k);
            }
        }
    }
}

void VARIANT(rmsnorm_backward_weight)(float *dw, const float *inverse, const float *dy, int64_t dy_stride,
                                      const float *x, int64_t x_stride, int64_t n, int64_t m, int64_t d,
                                      int64_t first, int64_t last) {
    for (int64_t row = 0; row < n; row++) {
        for (int64_t part = 0; part < m; part++) {
            const float *in = x + row * x_stride + part * d, *up = dy + row * dy_stride + part * d;
            const float r = inverse[row * m + part];
            for (int64_t i = first; i < last; i++) dw[i] += up[i] * (in[i] * r);
        }
    }
}
#endif
