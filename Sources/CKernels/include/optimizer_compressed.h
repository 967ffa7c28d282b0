// AdamW whose moments are stored in 16 or 8 bits: read, updated and written back in the one pass that changes weights.
// Source of the idea: 8-bit optimizers via block-wise quantization, arXiv:2110.02861. Codes and rounding are our own.
//
// Rounding is stochastic: up with the probability of the part cut off, so that the stored mean is the exact one.
// Nearest rounding would freeze a moment whose changes are smaller than half a step of its code (β2 = 0.999 moves the
// second moment by 0.1 % an update; a step is 0.4 % in 16 bits and 6 to 12 % in 8). The noise is a function of `key`
// and the element's index in the call alone, so a repeated update repeats its rounding.
#pragma once
#include "optimizer.h"

/// Elements that share an exponent in 8 bits.
enum { ADAMW_BLOCK = 64 };

/// bfloat16 moments.
void adamw_update_bf16(float *parameters, float *gradients, uint16_t *first, uint16_t *second, int64_t n,
                       const adamw_step *step, uint32_t key);

/// Eight-bit moments in blocks of 64 with one exponent byte E each (0: the whole block is zero). Like the microscaling
/// formats, a block's scale is a power of two: codes are the top bits of the float, relative to E.
/// First moment: sign, 4 exponent bits, 3 fraction bits; code c = 8e + f stands for (1 + f/8)·2^(E − 142 + e), and for
/// f·2^(E − 144) where e = 0: 2^-18 of the block's largest, then 0.
/// Second moment: 5 exponent bits, 3 fraction bits, (1 + f/8)·2^(E − 158 + e). Nothing rounds below the smallest code,
/// 2^-32 of the block's largest: a second moment that became 0 beside a first moment would make a step without bound.
void adamw_update_8bit(float *parameters, float *gradients, uint8_t *first, uint8_t *second, uint8_t *first_exponents,
                       uint8_t *second_exponents, int64_t n, const adamw_step *step, uint32_t key);
