// Attention over paged keys: training forward and backward by groups, and decoding by prefix.
#ifndef VARIANT
#include "attention.h"
#include "functions.h"
#define PAGE 16
#define QUERY_BLOCK 66  // rows of scores held at once: a multiple of the tile's rows (6 or 3)

static inline int64_t rounded(int64_t n) { return (n + PAGE - 1) / PAGE * PAGE; }

static int64_t longest_completion(const attention_group *group) {
    int64_t longest = 0;
    for (int64_t i = 0; i < group->completion_count; i++)
        if (group->counts[i] > longest) longest = group->counts[i];
    return longest;
}

static int64_t widest_row(const attention_group *group) {
    return rounded(group->prompt_count) + rounded(group->prompt_count % PAGE + longest_completion(group));
}

int64_t attention_workspace(attention_shape shape, const attention_group *group) {
    const int64_t keys = widest_row(group), width = rounded(shape.dimension);
    // Keys transposed and plain, values transposed and plain, dK, dV; scores and their gradient; q, dO, output rows.
    return keys * width * 6 + QUERY_BLOCK * (2 * keys + 3 * width + 2);
}

int64_t attention_page_size(attention_shape shape) {
    return PAGE * (shape.dimension + rounded(shape.dimension));
}

void attention_page_store(float *pages, int64_t slot, const float *projection, attention_shape shape) {
    const int64_t d = shape.dimension, width = rounded(d), size = attention_page_size(shape);
    const float *key = projection + shape.heads * d, *value = key + shape.key_heads * d;
    for (int64_t head = 0; head < shape.key_heads; head++) {
        float *page = pages + head * size;
        for (int64_t i = 0; i < d; i++) page[i * PAGE + slot] = key[head * d + i];
        float *row = page + d * PAGE + slot * width;
        for (int64_t i = 0; i < d; i++) row[i] = value[head * d + i];
    }
}

int64_t attention_decode_workspace(attention_shape shape, const attention_decode_group *group) {
    int64_t longest = 0;
    for (int64_t i = 0; i < group->sequence_count; i++)
        if (group->own_counts[i] > longest) longest = group->own_counts[i];
    const int64_t queries = group->sequence_count * (shape.heads / shape.key_heads);
    const int64_t keys = rounded(group->prefix_count) + rounded(group->prefix_count % PAGE + longest);
    return queries * (keys + shape.dimension + rounded(shape.dimension));
}

#define VARIANT_FILE "attention.c"
#include "variants.h"

DISPATCH(void, attention_forward,
         (float *attended, float *log_sums, const float *projections, attention_shape shape,
          const attention_group *group, int64_t key_head, float *workspace),
         (attended, log_sums, projections, shape, group, key_head, workspace))
DISPATCH(void, attention_backward,
         (float *d_projections, const float *d_attended, const float *attended, const float *log_sums,
          const float *projections, attention_shape shape, const attention_group *group, int64_t key_head,
          float *workspace),
         (d_projections, d_attended, attended, log_sums, projections, shape, group, key_head, workspace))
DISPATCH(void, attention_decode,
         (float *attended, const float *projections, attention_shape shape,
          const attention_decode_group *group, int64_t page_offset, int64_t key_head, float *workspace),
         (attended, projections, shape, group, page_offset, key_head, workspace))
#else
#include "attention_tiles.h"

// One segment as the kernels below see it: its rows, and the key columns it may look at. Its own keys begin in a page
// of their own, at the slot where the prompt's end: key number p of a text always stands in lane p mod 16, so sums over
// keys are the same however a text is cut into prompt and completion.
#define segment VARIANT(segment)
typedef struct {
    int64_t start, count;
    int64_t prefix, padded_prefix;  // prompt keys before the segment's own; 0 for the prompt itself
    int64_t skipped;                // unused columns between padded_prefix and the segment's first key
} segment;

#define segment_of VARIANT(segment_of)
INLINE segment segment_of(int64_t start, int64_t count, int64_t prefix) {
    return (segment){start, count, prefix, rounded(prefix), prefix % PAGE};
}

// Column of the segment's key number `index`, and the columns of its first `count` keys and of all before them.
#define key_column VARIANT(key_column)
#define key_columns VARIANT(key_columns)
INLINE int64_t key_column(const segment *s, int64_t index) { return s->padded_prefix + s->skipped + index; }
INLINE int64_t key_columns(const segment *s, int64_t count) { return s->padded_prefix + rounded(s->skipped + count); }

// Buffers of one (group, key head), laid out in the workspace.
#define buffers VARIANT(buffers)
typedef struct {
    float *keys_t, *keys, *values_t, *values, *d_keys, *d_values;
    float *scores, *d_scores, *queries, *d_out, *out, *log_sums, *deltas;
} buffers;

#define lay_out VARIANT(lay_out)
static buffers lay_out(float *workspace, int64_t keys, int64_t width) {
    buffers b;
    b.keys_t = workspace;
    b.keys = b.keys_t + keys * width;
    b.values_t = b.keys + keys * width;
    b.values = b.values_t + keys * width;
    b.d_keys = b.values + keys * width;
    b.d_values = b.d_keys + keys * width;
    b.scores = b.d_values + keys * width;
    b.d_scores = b.scores + QUERY_BLOCK * keys;
    b.queries = b.d_scores + QUERY_BLOCK * keys;
    b.d_out = b.queries + QUERY_BLOCK * width;
    b.out = b.d_out + QUERY_BLOCK * width;
    b.log_sums = b.out + QUERY_BLOCK * width;
    b.deltas = b.log_sums + QUERY_BLOCK;
    return b;
}

// Columns between the prompt's keys and the segment's and those after the row's own are not keys: they become `value`.
#define mask_row VARIANT(mask_row)
INLINE void mask_row(float *row, const segment *s, int64_t index, int64_t width, float value) {
    for (int64_t j = s->prefix; j < key_column(s, 0); j++) row[j] = value;
    for (int64_t j = key_column(s, index + 1); j < width; j++) row[j] = value;
}

// row ← e^(scale·row − max), the sum to *sum; returns max. The width is a multiple of 16, masked columns −∞.
#define softmax_row VARIANT(softmax_row)
INLINE float softmax_row(float *row, int64_t width, float scale, float *sum) {
    vec m = vec_all(-INFINITY), s = {0};
    for (int64_t j = 0; j < width; j += LANES) m = vec_max(m, vec_load(row + j));
    const float largest = vec_largest(m) * scale;
    const vec scales = vec_all(scale), shift = vec_all(-largest);
    for (int64_t j = 0; j < width; j += LANES) {
        const vec e = vec_exp(vec_fma(vec_load(row + j), scales, shift));
        vec_store(row + j, e);
        s += e;
    }
    *sum = vec_sum(s);
    return largest;
}

// Query rows first ≤ i < first + n of a segment against its keys, one query head.
#define forward_rows VARIANT(forward_rows)
static void forward_rows(const buffers *b, const segment *s, int64_t first, int64_t n, const float *q,
                         int64_t q_stride, float *out, int64_t out_stride, float *log_sums, int64_t log_stride,
                         int64_t d, int64_t width, float scale) {
    const int64_t keys = key_columns(s, first + n);
    tile_product(b->scores, keys, q, q_stride, 1, b->keys_t, PAGE * d, PAGE, n, keys, d, 0);
    float inverse[QUERY_BLOCK];
    for (int64_t i = 0; i < n; i++) {
        float *row = b->scores + i * keys, sum;
        mask_row(row, s, first + i, keys, -INFINITY);
        const float largest = softmax_row(row, keys, scale, &sum);
        inverse[i] = 1.0f / sum;
        // The logarithm is of numbers alone.
        if (log_sums) log_sums[i * log_stride] = sum == sum ? largest + (float)exact_log(sum) : NAN;
    }
    // Each row adds its own keys and no others, not even with weight 0: as in decoding.
    const int64_t own = key_column(s, 0), shared = first + 1;
    tile_product(b->out, width, b->scores, keys, 1, b->values, LANES, width, n, width, s->prefix, 0);
    tile_product(b->out, width, b->scores + own, keys, 1, b->values + own * width, LANES, width, n, width, shared, 1);
    for (int64_t i = 1; i < n; i++)
        tile_product(b->out + i * width, width, b->scores + i * keys + own + shared, keys, 1,
                     b->values + (own + shared) * width, LANES, width, 1, width, i, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < d; c++) out[i * out_stride + c] = b->out[i * width + c] * inverse[i];
}

#define forward_segment VARIANT(forward_segment)
static void forward_segment(const buffers *b, const segment *s, float *attended, float *log_sums,
                            const float *projections, attention_shape shape, int64_t key_head) {
    const int64_t d = shape.dimension, heads = shape.heads, shared = heads / shape.key_heads;
    const int64_t stride = (heads + 2 * shape.key_heads) * d;
    const float scale = 1.0f / sqrtf((float)d);
    const float *key = projections + s->start * stride + (heads + key_head) * d;
    pack_pages(b->keys_t + s->padded_prefix * d, key, stride, s->skipped, s->count, d);
    pack_rows(b->values + key_column(s, 0) * rounded(d), key + shape.key_heads * d, stride, s->count, d);
    for (int64_t head = key_head * shared; head < (key_head + 1) * shared; head++) {
        for (int64_t first = 0; first < s->count; first += TILE_ROWS) {
            const int64_t n = s->count - first < TILE_ROWS ? s->count - first : TILE_ROWS, row = s->start + first;
            forward_rows(b, s, first, n, projections + row * stride + head * d, stride,
                         attended + row * heads * d + head * d, heads * d,
                         log_sums ? log_sums + row * heads + head : NULL, heads, d, rounded(d), scale);
        }
    }
}

void VARIANT(attention_forward)(float *attended, float *log_sums, const float *projections,
                                attention_shape shape, const attention_group *group, int64_t key_head,
                                float *workspace) {
    const buffers b = lay_out(workspace, widest_row(group), rounded(shape.dimension));
    const segment prompt = segment_of(group->prompt_start, group->prompt_count, 0);
    forward_segment(&b, &prompt, attended, log_sums, projections, shape, key_head);
    for (int64_t i = 0; i < group->completion_count; i++) {
        const segment s = segment_of(group->starts[i], group->counts[i], group->prompt_count);
        if (s.count > 0) forward_segment(&b, &s, attended, log_sums, projections, shape, key_head);
    }
}

// Adds one block of query rows of one query head to dK and dV, and writes its dQ.
#define backward_rows VARIANT(backward_rows)
static void backward_rows(const buffers *b, const segment *s, int64_t first, int64_t n, float *dq, int64_t stride,
                          int64_t d, int64_t width, float scale) {
    const int64_t keys = key_columns(s, first + n);
    tile_product(b->scores, keys, b->queries, width, 1, b->keys_t, PAGE * d, PAGE, n, keys, d, 0);
    tile_product(b->d_scores, keys, b->d_out, width, 1, b->values_t, PAGE * d, PAGE, n, keys, d, 0);
    const vec scales = vec_all(scale);
    for (int64_t i = 0; i < n; i++) {
        float *p = b->scores + i * keys, *dp = b->d_scores + i * keys;
        mask_row(p, s, first + i, keys, -INFINITY);
        mask_row(dp, s, first + i, keys, 0);
        const vec shift = vec_all(-b->log_sums[i]), delta = vec_all(b->deltas[i]);
        for (int64_t j = 0; j < keys; j += LANES) {
            const vec e = vec_exp(vec_fma(vec_load(p + j), scales, shift));
            vec_store(p + j, e);
            vec_store(dp + j, e * (vec_load(dp + j) - delta) * scales);
        }
    }
    tile_product(b->out, width, b->d_scores, keys, 1, b->keys, LANES, width, n, width, keys, 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < d; c++) dq[i * stride + c] = b->out[i * width + c];
    tile_product(b->d_keys, width, b->d_scores, 1, keys, b->queries, LANES, width, keys, width, n, 1);
    tile_product(b->d_values, width, b->scores, 1, keys, b->d_out, LANES, width, keys, width, n, 1);
}

#define backward_segment VARIANT(backward_segment)
static void backward_segment(const buffers *b, const segment *s, float *d_projections, const float *d_attended,
                             const float *attended, const float *log_sums, const float *projections,
                             attention_shape shape, int64_t key_head) {
    const int64_t d = shape.dimension, width = rounded(d), heads = shape.heads;
    const int64_t shared = heads / shape.key_heads, stride = (heads + 2 * shape.key_heads) * d;
    const float scale = 1.0f / sqrtf((float)d);
    for (int64_t head = key_head * shared; head < (key_head + 1) * shared; head++) {
        for (int64_t first = 0; first < s->count; first += QUERY_BLOCK) {
            const int64_t n = s->count - first < QUERY_BLOCK ? s->count - first : QUERY_BLOCK;
            const int64_t row = s->start + first, at = row * heads * d + head * d;
            pack_rows(b->queries, projections + row * stride + head * d, stride, n, d);
            pack_rows(b->d_out, d_attended + at, heads * d, n, d);
            for (int64_t i = 0; i < n; i++) {
                b->log_sums[i] = log_sums[(row + i) * heads + head];
                float delta = 0;
                const float *o = attended + at + i * heads * d;
                for (int64_t c = 0; c < d; c++) delta += b->d_out[i * width + c] * o[c];
                b->deltas[i] = delta;
            }
            backward_rows(b, s, first, n, d_projections + row * stride + head * d, stride, d, width, scale);
        }
    }
}

// Keys and values of a segment into every layout that the backward pass reads.
#define pack_segment VARIANT(pack_segment)
static void pack_segment(const buffers *b, const segment *s, const float *projections, attention_shape shape,
                         int64_t key_head) {
    const int64_t d = shape.dimension, width = rounded(d), at = s->padded_prefix, end = key_columns(s, s->count);
    const int64_t stride = (shape.heads + 2 * shape.key_heads) * d;
    const float *key = projections + s->start * stride + (shape.heads + key_head) * d;
    const float *value = key + shape.key_heads * d;
    pack_pages(b->keys_t + at * d, key, stride, s->skipped, s->count, d);
    pack_pages(b->values_t + at * d, value, stride, s->skipped, s->count, d);
    clear_rows(b->keys, at, key_column(s, 0), width);
    pack_rows(b->keys + key_column(s, 0) * width, key, stride, s->count, d);
    clear_rows(b->keys, key_column(s, s->count), end, width);
    clear_rows(b->d_keys, at, end, width);
    clear_rows(b->d_values, at, end, width);
}

#define write_gradients VARIANT(write_gradients)
static void write_gradients(const buffers *b, const segment *s, float *d_projections, attention_shape shape,
                            int64_t key_head) {
    const int64_t d = shape.dimension, width = rounded(d);
    const int64_t stride = (shape.heads + 2 * shape.key_heads) * d;
    float *key = d_projections + s->start * stride + (shape.heads + key_head) * d;
    for (int64_t i = 0; i < s->count; i++) {
        memcpy(key + i * stride, b->d_keys + key_column(s, i) * width, (size_t)d * sizeof(float));
        memcpy(key + i * stride + shape.key_heads * d, b->d_values + key_column(s, i) * width,
               (size_t)d * sizeof(float));
    }
}

void VARIANT(attention_backward)(float *d_projections, const float *d_attended, const float *attended,
                                 const float *log_sums, const float *projections, attention_shape shape,
                                 const attention_group *group, int64_t key_head, float *workspace) {
    const buffers b = lay_out(workspace, widest_row(group), rounded(shape.dimension));
    const segment prompt = segment_of(group->prompt_start, group->prompt_count, 0);
    pack_segment(&b, &prompt, projections, shape, key_head);
    for (int64_t i = 0; i < group->completion_count; i++) {
        const segment s = segment_of(group->starts[i], group->counts[i], group->prompt_count);
        if (s.count == 0) continue;
        pack_segment(&b, &s, projections, shape, key_head);
        backward_segment(&b, &s, d_projections, d_attended, attended, log_sums, projections, shape, key_head);
        write_gradients(&b, &s, d_projections, shape, key_head);
    }
    backward_segment(&b, &prompt, d_projections, d_attended, attended, log_sums, projections, shape, key_head);
    write_gradients(&b, &prompt, d_projections, shape, key_head);
}

// Scores of `rows` queries against `count` keys in pages, to columns from `scores` on.
#define score_pages VARIANT(score_pages)
static void score_pages(float *scores, int64_t width, const float *queries, int64_t rows, const float *const *pages,
                        int64_t page_offset, int64_t count, int64_t d) {
    const float *page[TILE_VECTORS];
    for (int64_t first = 0; first * PAGE < count; first += TILE_VECTORS) {
        int64_t n = 0;
        for (; n < TILE_VECTORS && (first + n) * PAGE < count; n++) page[n] = pages[first + n] + page_offset;
        for (int64_t row = 0; row < rows; row += TILE_ROWS) {
            const int64_t m = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
            tile(scores + row * width + first * PAGE, width, queries + row * d, d, 1, page, PAGE, m, n, d, 0);
        }
    }
}

// Adds weights × values of keys skipped ≤ key < count in pages to `out`; none of them is an unused one.
#define mix_pages VARIANT(mix_pages)
static void mix_pages(float *out, const float *weights, int64_t width, int64_t rows, const float *const *pages,
                      int64_t page_offset, int64_t skipped, int64_t count, int64_t d, int32_t accumulate) {
    for (int64_t first = 0; first < count; first += PAGE) {
        const int64_t slot = first == 0 ? skipped : 0;
        const float *values = pages[first / PAGE] + page_offset + d * PAGE + slot * rounded(d);
        const int64_t keys = (count - first < PAGE ? count - first : PAGE) - slot;
        tile_product(out, rounded(d), weights + first + slot, width, 1, values, LANES, rounded(d), rows, rounded(d),
                     keys, accumulate || first > 0);
    }
}

void VARIANT(attention_decode)(float *attended, const float *projections, attention_shape shape,
                               const attention_decode_group *group, int64_t offset, int64_t key_head,
                               float *workspace) {
    const int64_t d = shape.dimension, heads = shape.heads, shared = heads / shape.key_heads;
    const int64_t stride = (heads + 2 * shape.key_heads) * d;
    const int64_t rows = group->sequence_count * shared;
    const segment s = segment_of(0, 0, group->prefix_count);
    const float scale = 1.0f / sqrtf((float)d);
    float *queries = workspace, *out = queries + rows * d, *scores = out + rows * rounded(d);
    int64_t width = s.padded_prefix;
    for (int64_t i = 0; i < group->sequence_count; i++) {
        if (key_columns(&s, group->own_counts[i]) > width) width = key_columns(&s, group->own_counts[i]);
        memcpy(queries + i * shared * d, projections + group->rows[i] * stride + key_head * shared * d,
               (size_t)(shared * d) * sizeof(float));
    }
    score_pages(scores, width, queries, rows, group->prefix_pages, offset, group->prefix_count, d);
    for (int64_t i = 0; i < group->sequence_count; i++)
        score_pages(scores + i * shared * width + s.padded_prefix, width, queries + i * shared * d, shared,
                    group->own_pages + group->own_offsets[i], offset, s.skipped + group->own_counts[i], d);
    // In place of its query: each row's 1 / Σ e^…, applied after mixing as in the forward pass.
    float *inverse = queries;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t own = group->own_counts[row / shared], used = key_columns(&s, own);
        float sum;
        mask_row(scores + row * width, &s, own - 1, used, -INFINITY);
        softmax_row(scores + row * width, used, scale, &sum);
        inverse[row] = 1.0f / sum;
    }
    mix_pages(out, scores, width, rows, group->prefix_pages, offset, 0, group->prefix_count, d, 0);
    for (int64_t i = 0; i < group->sequence_count; i++) {
        mix_pages(out + i * shared * rounded(d), scores + i * shared * width + s.padded_prefix, width, shared,
                  group->own_pages + group->own_offsets[i], offset, s.skipped, s.skipped + group->own_counts[i], d, 1);
        for (int64_t h = 0; h < shared; h++) {
            float *to = attended + group->rows[i] * heads * d + (key_head * shared + h) * d;
            const float *from = out + (i * shared + h) * rounded(d);
            for (int64_t c = 0; c < d; c++) to[c] = from[c] * inverse[i * shared + h];
        }
    }
}
#endif
