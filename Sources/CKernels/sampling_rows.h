// What the sampling kernels share among themselves: a row of logits and the vector passes over it.
#pragma once
#include "sampling.h"

enum { SAMPLING_BLOCK = 256 }; // tokens that share one partial sum

// Weights and candidates are in whole blocks; what each pass does is said where it is written, sampling_rows_body.h.
typedef struct {
    void (*block_maxima)(const float *logits, int64_t count, float *maxima);
    double (*exponentials)(
        const float *logits, int64_t count, float maximum, float scale, float *weights, double *block_sums);
    int64_t (*at_least)(
        const float *logits, int64_t count, float threshold, const float *maxima, const float *weights, double *mass);
    void (*keep)(
        const float *logits, int64_t count, float threshold, const float *maxima, float *weights, double *block_sums);
    float (*exponential)(float x);
} sampling_row_kernels;

const sampling_row_kernels *sampling_rows(sampling_instruction_set set);

// (logit − maximum)·scale below this gives the weight 0: 2^n stays a normal number, so flushing of denormals changes
// nothing.
#define SAMPLING_LOWEST_EXPONENT (-87.0f)

// One row with everything known about it. Pointers lead into the caller's scratch.
typedef struct {
    const sampling_row_kernels *kernels;
    const float *logits;
    int64_t count, blocks;
    float *maxima;       // (blocks)
    double *block_sums;  // (blocks)
    float *weights;      // (blocks·SAMPLING_BLOCK): e^((logit − maximum)/temperature)
    int32_t *candidates; // (V): ids still in question during a selection, ascending
    float maximum;
    double temperature, sum, moment;
} sampling_row;

static inline double sampling_total(const double *sums, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += sums[i];
    return sum;
}

// Leaves weights above 0 only on the kept tokens (or a block sum of 0); returns their sum. sampling_truncation.c
double sampling_truncate(sampling_row *row, const sampling_options *options);
