// The exact matrix product with two AVX-512 multiply-adds a pair.
#include "matmul_bf16_kernels.h"
#if defined(__x86_64__)
#define MATMUL(name) name##_avx512
#define KERNEL matmul_bf16_kernel_avx512
#define VECTOR_LANES 16
#define TILE_ROWS 14
#define SPAN(rows) ((rows) == 1 ? 8 : (rows) <= 3 ? 4 : 2)
#define FEW_REGISTERS 0
#define ROW_WORDS 32
typedef float float16 __attribute__((vector_size(64)));
#define VECTOR float16

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"), min_vector_width(512))), apply_to = function)
#include "matmul_bf16_body.h"
#pragma clang attribute pop

static int32_t supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}

const matmul_bf16_kernel matmul_bf16_kernel_avx512 = {
    .name = "avx512", .tile_rows = TILE_ROWS, .row_words = ROW_WORDS, .supported = supported,
    .multiply = multiply_avx512};
#endif
