// Small matrix products that live in registers, and the packing they read. Included per instruction set.
#define tile_of VARIANT(tile_of)
#define tile_rows VARIANT(tile_rows)
#define tile VARIANT(tile)
#define tile_product VARIANT(tile_product)
#define pack_pages VARIANT(pack_pages)
#define pack_rows VARIANT(pack_rows)
#define clear_rows VARIANT(clear_rows)

// c[i][16·v + l] (+)= Σ_k a[i·a_row + k·a_k] · b[v][k·b_k + l], k in order: `rows` and `vectors` are constants.
INLINE void tile_of(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_k, const float *const *b,
                    int64_t b_k, const int rows, const int vectors, int64_t depth, int32_t accumulate) {
    vec sum[TILE_ROWS][TILE_VECTORS];
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = accumulate ? vec_load(c + i * c_row + v * LANES) : vec_all(0);
    for (int64_t k = 0; k < depth; k++) {
        vec in[TILE_VECTORS];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) in[v] = vec_load(b[v] + k * b_k);
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; i++) {
            const vec x = vec_all(a[i * a_row + k * a_k]);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) sum[i][v] = vec_fma(x, in[v], sum[i][v]);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) vec_store(c + i * c_row + v * LANES, sum[i][v]);
}

INLINE void tile_rows(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_k, const float *const *b,
                      int64_t b_k, const int rows, int64_t vectors, int64_t depth, int32_t accumulate) {
    switch (vectors) {
    case 1: tile_of(c, c_row, a, a_row, a_k, b, b_k, rows, 1, depth, accumulate); break;
    case 2: tile_of(c, c_row, a, a_row, a_k, b, b_k, rows, 2, depth, accumulate); break;
#if TILE_VECTORS >= 4
    case 3: tile_of(c, c_row, a, a_row, a_k, b, b_k, rows, 3, depth, accumulate); break;
    case 4: tile_of(c, c_row, a, a_row, a_k, b, b_k, rows, 4, depth, accumulate); break;
#endif
    }
}

// 1 ≤ rows ≤ TILE_ROWS, 1 ≤ vectors ≤ TILE_VECTORS.
static void tile(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_k, const float *const *b,
                 int64_t b_k, int64_t rows, int64_t vectors, int64_t depth, int32_t accumulate) {
    switch (rows) {
    case 1: tile_rows(c, c_row, a, a_row, a_k, b, b_k, 1, vectors, depth, accumulate); break;
    case 2: tile_rows(c, c_row, a, a_row, a_k, b, b_k, 2, vectors, depth, accumulate); break;
    case 3: tile_rows(c, c_row, a, a_row, a_k, b, b_k, 3, vectors, depth, accumulate); break;
#if TILE_ROWS >= 6
    case 4: tile_rows(c, c_row, a, a_row, a_k, b, b_k, 4, vectors, depth, accumulate); break;
    case 5: tile_rows(c, c_row, a, a_row, a_k, b, b_k, 5, vectors, depth, accumulate); break;
    case 6: tile_rows(c, c_row, a, a_row, a_k, b, b_k, 6, vectors, depth, accumulate); break;
#endif
    }
}

// c (rows, columns) with stride c_row; b's 16 columns number v start at b + v·b_vector. `columns` is a multiple of 16.
static void tile_product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_k, const float *b,
                         int64_t b_vector, int64_t b_k, int64_t rows, int64_t columns, int64_t depth,
                         int32_t accumulate) {
    for (int64_t column = 0; column < columns; column += TILE_VECTORS * LANES) {
        const float *in[TILE_VECTORS];
        const int64_t left = (columns - column) / LANES, n = left < TILE_VECTORS ? left : TILE_VECTORS;
        for (int64_t v = 0; v < n; v++) in[v] = b + (column / LANES + v) * b_vector;
        for (int64_t row = 0; row < rows; row += TILE_ROWS) {
            const int64_t m = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
            tile(c + row * c_row + column, c_row, a + row * a_row, a_row, a_k, in, b_k, m, n, depth, accumulate);
        }
    }
}

// Rows of D elements to pages (D, 16), from column `skipped` on; unused columns become 0.
static void pack_pages(float *pages, const float *x, int64_t stride, int64_t skipped, int64_t count, int64_t d) {
    for (int64_t first = 0; first < skipped + count; first += LANES) {
        const int64_t left = skipped + count - first, last = left < LANES ? left : LANES;
        const int64_t begin = first == 0 ? skipped : 0;
        const float *from = x + (first - skipped) * stride;
        float *page = pages + first * d;
        for (int64_t i = 0; i < d; i++) {
            for (int64_t j = 0; j < begin; j++) page[i * LANES + j] = 0;
            for (int64_t j = begin; j < last; j++) page[i * LANES + j] = from[j * stride + i];
            for (int64_t j = last; j < LANES; j++) page[i * LANES + j] = 0;
        }
    }
}

// Rows of D elements to rows of D rounded up to 16, the rest 0.
static void pack_rows(float *rows, const float *x, int64_t stride, int64_t count, int64_t d) {
    const int64_t width = (d + LANES - 1) / LANES * LANES;
    for (int64_t i = 0; i < count; i++) {
        memcpy(rows + i * width, x + i * stride, (size_t)d * sizeof(float));
        for (int64_t c = d; c < width; c++) rows[i * width + c] = 0;
    }
}

static void clear_rows(float *rows, int64_t first, int64_t last, int64_t width) {
    memset(rows + first * width, 0, (size_t)((last - first) * width) * sizeof(float));
}
