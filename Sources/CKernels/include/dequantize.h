#pragma once
// Stored number formats to float32 and back: half and brain floats, and the block formats of GGUF files.
// Everything is little endian and may be unaligned. Each block format's layout stands above its function in
// dequantize.c; block sizes in elements and bytes:
//
//   Q4_0 32/18   Q4_1 32/20   Q5_0 32/22   Q5_1 32/24   Q8_0 32/34   Q4_K 256/144   Q5_K 256/176   Q6_K 256/210
#include <stddef.h>
#include <stdint.h>

void dequantize_f16(const uint8_t *restrict source, size_t count, float *restrict out);
void dequantize_bf16(const uint8_t *restrict source, size_t count, float *restrict out);

// `blocks`: how many blocks to read; `out` has room for blocks * elements per block.
void dequantize_q4_0(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q4_1(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q5_0(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q5_1(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q8_0(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q4_k(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q5_k(const uint8_t *restrict source, size_t blocks, float *restrict out);
void dequantize_q6_k(const uint8_t *restrict source, size_t blocks, float *restrict out);

// Round to nearest, ties to even; NaN stays NaN. Returns how many finite inputs became infinite.
size_t encode_f16(const float *restrict source, size_t count, uint8_t *restrict out);
size_t encode_bf16(const float *restrict source, size_t count, uint8_t *restrict out);
