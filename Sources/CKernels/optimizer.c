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

#include "optimizer_body.h"

void VARIANT(adamw_update)(float *parameters, float *gradients, float *first, float *second, int64_t n,
                           const adamw_step *step) {
    VARIANT(moments)(parameters, gradients, first, second, n, step);
}
#endif
