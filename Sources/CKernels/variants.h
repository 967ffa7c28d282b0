// How one kernel file becomes code for several instruction sets: it is compiled once for each, and the processor
// decides at run time. A kernel file reads
//
//     #ifndef VARIANT
//     #include "family.h"
//     #define VARIANT_FILE "family.c"
//     #include "variants.h"
//     DISPATCH(void, kernel, (float *y, int64_t n), (y, n))
//     #else
//     void VARIANT(kernel)(float *y, int64_t n) { … }
//     #endif
//
// Every variant does the same operations in the same order on 16 lanes with explicit fma, so all give the same bits.
#include "processor.h"
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float vec __attribute__((vector_size(64)));
typedef float half_vec __attribute__((vector_size(32)));
typedef float quarter_vec __attribute__((vector_size(16)));
typedef int32_t int_vec __attribute__((vector_size(64)));
typedef float unaligned_vec __attribute__((vector_size(64), aligned(4)));

// Functions of `vec` are always inlined, so no vector is ever passed under a calling convention.
#pragma clang diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))
#define LANES 16

#if defined(__x86_64__)

// Rows and vectors of accumulators that fit the registers (attention.c).
#define VARIANT(name) name##_avx512
#define TILE_ROWS 6
#define TILE_VECTORS 4
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"), min_vector_width(512))), apply_to = function)
#include "vector.h"
#include VARIANT_FILE
#pragma clang attribute pop
#undef VARIANT
#undef TILE_ROWS
#undef TILE_VECTORS

#define VARIANT(name) name##_avx2
#define TILE_ROWS 3
#define TILE_VECTORS 2
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "vector.h"
#include VARIANT_FILE
#pragma clang attribute pop
#undef VARIANT
#undef TILE_ROWS
#undef TILE_VECTORS

#endif

#define VARIANT(name) name##_portable
#define TILE_ROWS 3
#define TILE_VECTORS 2
#include "vector.h"
#include VARIANT_FILE

#if defined(__x86_64__)
#define DISPATCH(result, name, parameters, arguments)                      \
    result name parameters {                                               \
        switch (processor_vector_level()) {                                \
        case 2: return name##_avx512 arguments;                            \
        case 1: return name##_avx2 arguments;                              \
        default: return name##_portable arguments;                         \
        }                                                                  \
    }
#else
#define DISPATCH(result, name, parameters, arguments) \
    result name parameters { return name##_portable arguments; }
#endif
