// Tiles and loops of the exact matrix product, written once and compiled per instruction set. The file that includes
// this defines
//
//     MATMUL(name)   name with the instruction set's suffix
//     KERNEL         the matmul_bf16_kernel this becomes
//     VECTOR         a vector of floats, VECTOR_LANES of them
//     TILE_ROWS      rows whose accumulators fit the registers next to 32 outputs (or half of them, see SPAN)
//     SPAN(rows)     vectors of outputs that a tile of so many rows computes at once
//     FEW_REGISTERS  1 where a tile's sums leave no room for a pair's odd and even weights at once
//     ROW_WORDS      32: rows are widened floats, two fused multiply-adds a pair; 16: rows are pairs, DOT is defined
//
// A tile of R rows by V vectors keeps R·V accumulators in registers over a range of K and needs about eight of them to
// hide the latency of a multiply-add.
#include "include/matmul_bf16.h"
#include "matmul_bf16_mode.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define PANEL MATMUL_BF16_PANEL
#define PANEL_VECTORS (PANEL / VECTOR_LANES)
#define BLOCK_PAIRS (MATMUL_BF16_BLOCK / 2)

typedef VECTOR VECTOR_UNALIGNED __attribute__((aligned(4)));
typedef uint32_t WORDS __attribute__((vector_size(4 * VECTOR_LANES)));

enum {
    RANGE_PAIRS = 96,  // pairs of K whose widened weights (24 KiB) stay in the first-level cache under all tiles
    NEAR_PAIRS = 16,   // how far ahead packed weights are asked for into the first-level cache,
    FAR_PAIRS = 96,    // and into the second-level one
};

/// Where a tile takes its weights from.
typedef enum {
    PACKED,       // words, widened on the way
    PACKED_KEPT,  // the same, and the widened ones are stored for the tiles that follow
    WIDENED,      // widened floats: for each pair 32 odd ones, then 32 even ones
} weight_source;

typedef struct {
    const uint32_t *packed;  // first pair of the range, first output of the span
    int64_t panel_stride;
    float *widened;
    const uint32_t *next;  // packed words of as many pairs to bring into the second-level cache meanwhile, or NULL
    int64_t pairs;
} tile_weights;

/// Where accumulators start (NULL: +0) and end.
typedef struct {
    const float *from;
    float *to;
    int64_t from_stride, to_stride;
    int add;
} tile_ends;

INLINE VECTOR MATMUL(all)(float x) {
    VECTOR v = {0};
    UNROLL for (int i = 0; i < VECTOR_LANES; i++) v[i] = x;
    return v;
}

INLINE const uint32_t *MATMUL(words)(const tile_weights *w, int64_t pair, int v) {
    return w->packed + (v / PANEL_VECTORS) * w->panel_stride + pair * PANEL + v % PANEL_VECTORS * VECTOR_LANES;
}

/// Packed weights are read once from start to end, often from main memory.
INLINE void MATMUL(ask_ahead)(const uint32_t *words) {
    __builtin_prefetch(words + NEAR_PAIRS * PANEL, 0, 3);
    __builtin_prefetch(words + FAR_PAIRS * PANEL, 0, 2);
}

/// One pair of K for R rows and V vectors.
#if ROW_WORDS == 16
INLINE void MATMUL(step)(VECTOR acc[][8], const uint32_t *x, const tile_weights *w, int64_t pair, const int R,
                         const int V, const weight_source source) {
    WORDS words[8];
    UNROLL for (int v = 0; v < V; v++) {
        const uint32_t *from = MATMUL(words)(w, pair, v);
        MATMUL(ask_ahead)(from);
        words[v] = *(const WORDS *)from;
    }
    UNROLL for (int r = 0; r < R; r++) {
        const WORDS row = (WORDS){0} + x[r * ROW_WORDS];
        UNROLL for (int v = 0; v < V; v++) acc[r][v] = DOT(acc[r][v], row, words[v]);
    }
}
#else
/// The odd elements' multiply-adds, then the even ones': between them nothing is kept in registers but the sums and a
/// half of the weights, which are read again from the nearest cache.
INLINE void MATMUL(step)(VECTOR acc[][8], const uint32_t *x, const tile_weights *w, int64_t pair, const int R,
                         const int V, const weight_source source) {
    UNROLL for (int half = 0; half < 2; half++) {
        const float *row = (const float *)x + half * BLOCK_PAIRS;
        VECTOR weights[8];
        UNROLL for (int v = 0; v < V; v++) {
            float *kept = source == PACKED ? NULL : w->widened + (pair * 2 + half) * PANEL + v * VECTOR_LANES;
            if (source == WIDENED) {
                weights[v] = *(const VECTOR *)kept;
                continue;
            }
            const uint32_t *from = MATMUL(words)(w, pair, v);
            if (half == 0 && v * VECTOR_LANES % 16 == 0) MATMUL(ask_ahead)(from);
            const WORDS words = *(const WORDS *)from;
            weights[v] = (VECTOR)(half == 0 ? words & 0xFFFF0000u : words << 16);
            if (source == PACKED_KEPT) *(VECTOR *)kept = weights[v];
        }
        UNROLL for (int r = 0; r < R; r++) {
            const VECTOR number = MATMUL(all)(row[r * ROW_WORDS]);
            UNROLL for (int v = 0; v < V; v++) acc[r][v] = __builtin_elementwise_fma(number, weights[v], acc[r][v]);
        }
        if (FEW_REGISTERS) __asm__ volatile("" ::: "memory");  // or the compiler would keep both halves, and spill sums
    }
}
#endif

INLINE void MATMUL(tile)(const uint32_t *x, const tile_weights *w, const tile_ends *ends, const int R, const int V,
                         const weight_source source) {
    VECTOR acc[TILE_ROWS][8];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) {
            const int at = v * VECTOR_LANES;
            acc[r][v] = ends->from ? *(const VECTOR_UNALIGNED *)(ends->from + r * ends->from_stride + at) : (VECTOR){0};
        }
    }
    for (int64_t block = 0; block < w->pairs; block += BLOCK_PAIRS) {
        const int64_t left = w->pairs - block;
        const int64_t end = left < BLOCK_PAIRS ? left : BLOCK_PAIRS;
        if (source == WIDENED && w->next) {
            for (int line = 0; line < BLOCK_PAIRS * PANEL / 16; line++)
                __builtin_prefetch(w->next + block * PANEL + line * 16, 0, 2);
        }
#pragma clang loop unroll(disable)
        for (int64_t pair = 0; pair < end; pair++) MATMUL(step)(acc, x + pair, w, block + pair, R, V, source);
        x += R * ROW_WORDS;
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) {
            VECTOR_UNALIGNED *to = (VECTOR_UNALIGNED *)(ends->to + r * ends->to_stride + v * VECTOR_LANES);
            *to = ends->add ? *to + acc[r][v] : acc[r][v];
        }
    }
}

/// All 32 outputs of one panel for the R rows of a tile.
INLINE void MATMUL(panel_tile)(const uint32_t *x, const tile_weights *w, const tile_ends *ends, const int R,
                               const weight_source source) {
    const int V = SPAN(R) < PANEL_VECTORS ? SPAN(R) : PANEL_VECTORS;
    UNROLL for (int first = 0; first < PANEL_VECTORS; first += V) {
        const int at = first * VECTOR_LANES;
        const tile_weights part = {w->packed + at, w->panel_stride, w->widened ? w->widened + at : NULL,
                                   first == 0 ? w->next : NULL, w->pairs};
        const tile_ends part_ends = {ends->from ? ends->from + at : NULL, ends->to + at, ends->from_stride,
                                     ends->to_stride, ends->add};
        MATMUL(tile)(x, &part, &part_ends, R, V, source);
    }
}

// R as a constant: one copy of the code for each number of rows.
#define CASE(rows, call) \
    case rows:           \
        if (rows <= TILE_ROWS) { call(rows <= TILE_ROWS ? rows : 1); } \
        break;
#define LARGER_HALF(call) \
    CASE(3, call) CASE(4, call) CASE(5, call) CASE(6, call) CASE(7, call) CASE(8, call) CASE(9, call) CASE(10, call) \
    CASE(11, call) CASE(12, call) CASE(13, call) CASE(14, call)

static NOT_INLINED void MATMUL(any_tile)(const uint32_t *x, const tile_weights *w, const tile_ends *ends, int64_t rows,
                                         weight_source source) {
#define FROM_PACKED(R) MATMUL(panel_tile)(x, w, ends, R, PACKED)
#define FROM_PACKED_KEEPING(R) MATMUL(panel_tile)(x, w, ends, R, PACKED_KEPT)
#define FROM_WIDENED(R) MATMUL(panel_tile)(x, w, ends, R, WIDENED)
    switch (ROW_WORDS == 16 ? PACKED : source) {
    case PACKED: switch (rows) { CASE(1, FROM_PACKED) CASE(2, FROM_PACKED) LARGER_HALF(FROM_PACKED) } break;
#if ROW_WORDS == 32  // between half a tile and a whole one: tiles are as equal as can be
    case PACKED_KEPT: switch (rows) { LARGER_HALF(FROM_PACKED_KEEPING) } break;
    case WIDENED: switch (rows) { LARGER_HALF(FROM_WIDENED) } break;
#endif
    default: break;
    }
}

/// The tile of a panel that has fewer than 32 outputs: what would touch y goes by way of a whole tile.
static NOT_INLINED void MATMUL(edge_tile)(const uint32_t *x, const tile_weights *w, const tile_ends *ends, int64_t rows,
                                          weight_source source, float *y, int64_t y_stride, int64_t outputs) {
    float edge[TILE_ROWS * PANEL] __attribute__((aligned(64))) = {0};
    const size_t bytes = (size_t)outputs * sizeof(float);
    tile_ends inner = *ends;
    if (ends->from == y || ends->add) {
        for (int64_t r = 0; r < rows; r++) memcpy(edge + r * PANEL, y + r * y_stride, bytes);
    }
    if (ends->from == y) inner.from = edge, inner.from_stride = PANEL;
    if (ends->to == y) inner.to = edge, inner.to_stride = PANEL;
    MATMUL(any_tile)(x, w, &inner, rows, source);
    if (ends->to != y) return;
    for (int64_t r = 0; r < rows; r++) memcpy(y + r * y_stride, edge + r * PANEL, bytes);
}

/// Few rows: each weight is used once, so panels stream past and several are taken at once where that fills registers.
INLINE int64_t MATMUL(wide_panels)(const matmul_bf16_product *p, const int R) {
    const int V = SPAN(R), panels = V / PANEL_VECTORS;
    int64_t panel = p->first_panel;
    if (panels < 2) return panel;
    const int64_t whole = p->output_count / PANEL;
    const int64_t last = p->last_panel < whole ? p->last_panel : whole;
    for (; panel + panels <= last; panel += panels) {
        const tile_weights w = {.packed = p->weights + panel * p->panel_stride, .panel_stride = p->panel_stride,
                                .pairs = matmul_bf16_pairs(p->k)};
        float *y = p->y + panel * PANEL;
        const tile_ends ends = {p->mode == MATMUL_BF16_CONTINUE ? y : NULL, y, p->y_stride, p->y_stride,
                                p->mode == MATMUL_BF16_ADD};
        MATMUL(tile)(p->rows, &w, &ends, R, V, PACKED);
    }
    return panel;
}

static void MATMUL(one_tile)(const matmul_bf16_product *p) {
    int64_t panel = p->first_panel;
#define WIDE(R) panel = MATMUL(wide_panels)(p, R)
    switch (p->row_count) { CASE(1, WIDE) CASE(2, WIDE) CASE(3, WIDE) }
    for (; panel < p->last_panel; panel++) {
        const tile_weights w = {.packed = p->weights + panel * p->panel_stride, .panel_stride = p->panel_stride,
                                .pairs = matmul_bf16_pairs(p->k)};
        const int64_t outputs = p->output_count - panel * PANEL;
        float *y = p->y + panel * PANEL;
        const tile_ends ends = {p->mode == MATMUL_BF16_CONTINUE ? y : NULL, y, p->y_stride, p->y_stride,
                                p->mode == MATMUL_BF16_ADD};
        if (outputs < PANEL) MATMUL(edge_tile)(p->rows, &w, &ends, p->row_count, PACKED, y, p->y_stride, outputs);
        else MATMUL(any_tile)(p->rows, &w, &ends, p->row_count, PACKED);
    }
}

/// Many rows: a range of a panel's weights is widened with the first tile and stays in cache for the others; sums go on
/// from range to range by way of `sums`.
static void MATMUL(tiles)(const matmul_bf16_kernel *kernel, const matmul_bf16_product *p) {
    float widened[RANGE_PAIRS * 2 * PANEL] __attribute__((aligned(64)));
    float sums[MATMUL_BF16_ROW_LIMIT * PANEL] __attribute__((aligned(64)));
    const int64_t pairs = matmul_bf16_pairs(p->k), tile_count = matmul_bf16_tiles(kernel, p->row_count);
    const int64_t row_words = matmul_bf16_row_words(kernel, 1, p->k);
    for (int64_t panel = p->first_panel; panel < p->last_panel; panel++) {
        const int64_t outputs = p->output_count - panel * PANEL;
        for (int64_t start = 0; start < pairs; start += RANGE_PAIRS) {
            const int64_t left = pairs - start;
            const int is_last = left <= RANGE_PAIRS;
            const uint32_t *packed = p->weights + panel * p->panel_stride + start * PANEL;
            const int64_t range = is_last ? left : RANGE_PAIRS;
            tile_weights w = {packed, p->panel_stride, widened, packed + range * PANEL, range};
            for (int64_t tile = 0; tile < tile_count; tile++) {
                const int64_t row = matmul_bf16_tile_start(kernel, p->row_count, tile);
                const int64_t rows = matmul_bf16_tile_start(kernel, p->row_count, tile + 1) - row;
                const uint32_t *x = p->rows + row * row_words + start / BLOCK_PAIRS * rows * ROW_WORDS;
                float *y = p->y + row * p->y_stride + panel * PANEL;
                float *sum = sums + row * PANEL;
                tile_ends ends = {sum, sum, PANEL, PANEL, is_last && p->mode == MATMUL_BF16_ADD};
                if (start == 0) ends.from = p->mode == MATMUL_BF16_CONTINUE ? y : NULL, ends.from_stride = p->y_stride;
                if (is_last) ends.to = y, ends.to_stride = p->y_stride;
                const weight_source source = tile == 0 ? PACKED_KEPT : WIDENED;
                if (outputs < PANEL) MATMUL(edge_tile)(x, &w, &ends, rows, source, y, p->y_stride, outputs);
                else MATMUL(any_tile)(x, &w, &ends, rows, source);
                if (tile == 1) w.next = NULL;  // the second tile asked for the next range
            }
        }
    }
}

static NOT_INLINED void MATMUL(product)(const matmul_bf16_kernel *kernel, const matmul_bf16_product *p) {
    if (p->row_count <= TILE_ROWS) MATMUL(one_tile)(p);
    else MATMUL(tiles)(kernel, p);
}

static void MATMUL(multiply)(const matmul_bf16_product *p) {
    if (p->row_count <= 0) return;
    const uint32_t before = mode_set(MODE_FLUSHING);
    MATMUL(product)(&KERNEL, p);
    mode_restore(before);
}
