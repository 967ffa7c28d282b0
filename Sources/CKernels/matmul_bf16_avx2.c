// The exact matrix product with two AVX2 multiply-adds a pair.
#include "matmul_bf16_kernels.h"
#if defined(__x86_64__)
#define MATMUL(name) name##_avx2
#define KERNEL matmul_bf16_kernel_avx2
#define VECTOR_LANES 8
#define TILE_ROWS 6
#define SPAN(rows) ((rows) <= 2 ? 4 : 2)
#define FEW_REGISTERS 1
#define ROW_WORDS 32
typedef float float8 __attribute__((vector_size(32)));
#define VECTOR float8

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "matmul_bf16_body.h"
#pragma clang attribute pop

static int32_t supported(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

const matmul_bf16_kernel matmul_bf16_kernel_avx2 = {
    .name = "avx2", .tile_rows = TILE_ROWS, .row_words = ROW_WORDS, .supported = supported,
    .multiply = multiply_avx2};
#endif
