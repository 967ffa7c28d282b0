// AdamW in one pass, and the sum of squares for the gradient norm.
#ifndef VARIANT
#include "optimizer.h"
#define VARIANT_FILE "optimizer.c"
#include "variants.h"

DISPATCH(double, sum_of_squares, (const float *x, int64_t n), (x, n))
DISPATCH(void, adamw_update,
         (float *parameters, float *gradients, float *first, float *second, int64_t n, const adamw_step *step),
         (parameters, gradients, first, second, n, step))
#else

double VARIANT(sum_of_squares)(const float *x, int64_t n) {
    double lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += (double)x[i + j] * (double)x[i + j];
    double sum = 0;
    for (; i < n; i++) sum += (double)x[i] * (double)x[i];
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

void VARIANT(adamw_update)(float *restrict parameters, float *restrict gradients, float *restrict first,
                           float *restrict second, int64_t n, const adamw_step *step) {
    const float scale = step->gradient_scale, b1 = step->beta1, b2 = step->beta2, epsilon = step->epsilon;
    const float c1 = 1.0f - b1, c2 = 1.0f - b2, keep = step->keep, size = step->step_size;
    const float second_scale = step->second_scale;
    for (int64_t i = 0; i < n; i++) {
        const float g = gradients[i] * scale;
        const float m = b1 * first[i] + c1 * g, v = b2 * second[i] + c2 * g * g;
        first[i] = m;
        second[i] = v;
        gradients[i] = 0;
        parameters[i] = parameters[i] * keep - size * m / (sqrtf(v) * second_scale + epsilon);
    }
}
#endif
