// The kernels of the exact matrix product, one a file.
#pragma once
#include "include/matmul_bf16.h"

#if defined(__x86_64__)
extern const matmul_bf16_kernel matmul_bf16_kernel_avx512_bf16;
extern const matmul_bf16_kernel matmul_bf16_kernel_avx512;
extern const matmul_bf16_kernel matmul_bf16_kernel_avx2;
#endif
extern const matmul_bf16_kernel matmul_bf16_kernel_scalar;
