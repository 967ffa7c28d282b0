// The passes over a whole row of logits, for each instruction set. Inside the sampling kernels only.
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
