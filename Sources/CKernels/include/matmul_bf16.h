// The exact matrix product: bfloat16 inputs, one specified order of float32 operations, the same bits everywhere.
//
//     y[m][n] = Σ over k of x[m][k]·w[n][k]
//
// M rows, N outputs, K reduction. One accumulator per element starts at +0; over pairs i = 0, 1, … in order
//
//     acc = fma(x[2i], w[2i], fma(x[2i+1], w[2i+1], acc))
//
// in float32, rounded to nearest even, denormal inputs taken as zero and denormal results (detected after rounding)
// flushed to zero, signs kept. An odd K is padded with one zero. This is what AVX512-BF16's dot product does in
// hardware, and what two fused multiply-adds on widened operands do on any other processor. Nothing is ever split
// along K, so an element's bits do not depend on M, N, tile, thread or instruction set. Any NaN equals any other NaN:
// payload and sign are unspecified.
//
// float32 inputs become bfloat16 by rounding to nearest even on the bits (denormals are not flushed here, NaN stays
// NaN). No function allocates; every one sets the floating-point mode it needs and restores the caller's.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    MATMUL_BF16_PANEL = 32,       // outputs whose weights lie together
    MATMUL_BF16_BLOCK = 32,       // reduction steps whose row operands lie together
    MATMUL_BF16_ROW_LIMIT = 256,  // rows of one call of matmul_bf16_multiply
};

typedef enum {
    MATMUL_BF16_SET,       // y = sum
    MATMUL_BF16_CONTINUE,  // y = sum whose accumulators start at y: the next range of K of the same sum; the ranges
                           // before it have even lengths
    MATMUL_BF16_ADD,       // y = y + sum: one float32 addition after the sum, with the same flushing
} matmul_bf16_mode;

/// Weights packed: panel p (outputs 32p … 32p+31, missing ones zero) is a row of 32 words for each pair; word n of row
/// i is w[32p+n][2i] in its low half and w[32p+n][2i+1] in its high half. The same for every kernel.
/// Rows packed: consecutive tiles of at most `tile_rows` rows, as equal as can be, the larger first. A tile is for each
/// 32 steps of K, for each of its rows, `row_words` words: 16 odd then 16 even elements widened to float32 (32 words),
/// or 16 pairs as above (16 words).
typedef struct {
    const uint32_t *rows;     // of all of `row_count`, and of exactly `k`
    const uint32_t *weights;  // panel 0, at the first pair of this range of K
    int64_t panel_stride;     // words from one panel to the next
    int64_t row_count;        // ≤ MATMUL_BF16_ROW_LIMIT
    int64_t output_count;     // N
    int64_t k;
    float *y;                 // (row_count, N), rows `y_stride` apart
    int64_t y_stride;
    int64_t first_panel, last_panel;  // outputs to compute: 32·first_panel ≤ n < 32·last_panel
    matmul_bf16_mode mode;
} matmul_bf16_product;

typedef struct {
    const char *name;
    int64_t tile_rows;
    int64_t row_words;
    int32_t (*supported)(void);  // by this processor
    void (*multiply)(const matmul_bf16_product *product);
} matmul_bf16_kernel;

/// Newest instruction set first, the scalar reference last; NULL when there are no more. A kernel whose `supported` is
/// 0 must not be called.
const matmul_bf16_kernel *matmul_bf16_kernel_at(int64_t index);

static inline int64_t matmul_bf16_pairs(int64_t k) { return (k + 1) / 2; }
static inline int64_t matmul_bf16_panels(int64_t n) { return (n + MATMUL_BF16_PANEL - 1) / MATMUL_BF16_PANEL; }
static inline int64_t matmul_bf16_weight_words(int64_t n, int64_t k) {
    return matmul_bf16_panels(n) * matmul_bf16_pairs(k) * MATMUL_BF16_PANEL;
}
static inline int64_t matmul_bf16_row_words(const matmul_bf16_kernel *kernel, int64_t rows, int64_t k) {
    return rows * ((k + MATMUL_BF16_BLOCK - 1) / MATMUL_BF16_BLOCK) * kernel->row_words;
}
static inline int64_t matmul_bf16_tiles(const matmul_bf16_kernel *kernel, int64_t rows) {
    return (rows + kernel->tile_rows - 1) / kernel->tile_rows;
}
/// First row of a tile; the row count for tile == matmul_bf16_tiles.
static inline int64_t matmul_bf16_tile_start(const matmul_bf16_kernel *kernel, int64_t rows, int64_t tile) {
    const int64_t tiles = matmul_bf16_tiles(kernel, rows);
    if (tiles == 0) return 0;
    const int64_t larger = rows % tiles;
    return tile * (rows / tiles) + (tile < larger ? tile : larger);
}

/// Packs weights w (N, K), rows `stride` apart: panels first_panel ≤ p < last_panel.
void matmul_bf16_pack_weights(uint32_t *packed, const float *w, int64_t stride, int64_t n, int64_t k,
                              int64_t first_panel, int64_t last_panel);
/// The same of bfloat16, past the caches: `packed` starts at a multiple of 64 bytes.
void matmul_bf16_pack_weights_bf16(uint32_t *packed, const uint16_t *w, int64_t stride, int64_t n, int64_t k,
                                   int64_t first_panel, int64_t last_panel);

/// Packs weights given the other way round, w (K, N): pairs first_pair ≤ i < last_pair of every panel.
void matmul_bf16_pack_transposed(uint32_t *packed, const float *w, int64_t stride, int64_t n, int64_t k,
                                 int64_t first_pair, int64_t last_pair);
void matmul_bf16_pack_transposed_bf16(uint32_t *packed, const uint16_t *w, int64_t stride, int64_t n, int64_t k,
                                      int64_t first_pair, int64_t last_pair);

/// Packs rows x (rows, K), or x given the other way round as columns (K, rows): tiles first_tile ≤ t < last_tile.
void matmul_bf16_pack_rows(const matmul_bf16_kernel *kernel, uint32_t *packed, const float *x, int64_t stride,
                           int64_t rows, int64_t k, int64_t first_tile, int64_t last_tile);
void matmul_bf16_pack_columns(const matmul_bf16_kernel *kernel, uint32_t *packed, const float *x, int64_t stride,
                              int64_t rows, int64_t k, int64_t first_tile, int64_t last_tile);

/// bits[i] = x[i] rounded to bfloat16.
void matmul_bf16_round(uint16_t *bits, const float *x, int64_t count);
