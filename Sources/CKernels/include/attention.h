// Grouped-query causal attention over flat rows, where several sequences share one prompt's keys and values.
//
// Letters: H query heads, G key heads (H a multiple of G), D elements a head, T rows. Row t of `projections` is
// [q: H·D | k: G·D | v: G·D], positions already rotated. A *group* is a prompt (its rows attend to itself, causally)
// and its completions (rows attend to the whole prompt and causally to their own segment). Keys are laid out in
// pages of 16: prompt pages, then the segment's own pages, whose first key stands in the slot after the prompt's last
// one; unused columns are masked. Sums over keys run over 16 lanes, position mod 16, in ascending order, and products
// with values in ascending order of positions: a row's bits depend on its text and position alone, whether it is
// trained, prefilled or decoded, and wherever the text is cut into prompt and completion.
//
// Source of the backward pass without stored probabilities: FlashAttention, arXiv:2205.14135, Algorithm 4.
#pragma once
#include <stdint.h>

typedef struct {
    int64_t heads, key_heads, dimension;
} attention_shape;

/// A group's segments as rows of `projections`. Counts may be 0 for completions.
typedef struct {
    int64_t prompt_start, prompt_count, completion_count;
    const int32_t *starts, *counts;
} attention_group;

/// Floats of scratch memory that forward and backward need for one group (per thread).
int64_t attention_workspace(attention_shape shape, const attention_group *group);

/// attended (T, H·D) and log_sums (T, H) of the rows of `group` for the query heads of one key head.
/// log_sums may be NULL.
void attention_forward(float *attended, float *log_sums, const float *projections, attention_shape shape,
                       const attention_group *group, int64_t key_head, float *workspace);

/// d_projections of the rows of `group` for one key head and its query heads (overwritten) from d_attended.
/// The gradient of the prompt's keys and values sums over the prompt and its completions, completions first.
void attention_backward(float *d_projections, const float *d_attended, const float *attended,
                        const float *log_sums, const float *projections, attention_shape shape,
                        const attention_group *group, int64_t key_head, float *workspace);

/// Floats of one page: 16 keys transposed (D, 16), then 16 values (16, D rounded up to 16).
int64_t attention_page_size(attention_shape shape);

/// Puts the key and value of one row of projections into slot 0 ≤ slot < 16 of each key head's page; pages of the
/// key heads follow each other.
void attention_page_store(float *pages, int64_t slot, const float *projection, attention_shape shape);

/// Sequences that continue one prefix, each with pages of its own, used from slot prefix_count mod 16 on. A page holds
/// 16 tokens of every layer and key head.
typedef struct {
    const float *const *prefix_pages;
    int64_t prefix_count, sequence_count;
    /// Own pages of sequence i: own_pages[own_offsets[i]] and following.
    const float *const *own_pages;
    const int32_t *own_offsets, *own_counts, *rows;
} attention_decode_group;

int64_t attention_decode_workspace(attention_shape shape, const attention_decode_group *group);

/// attended[rows[i]] for each sequence's newest token, whose key and value are already stored; one key head, whose
/// keys and values stand `page_offset` floats after each page's start.
void attention_decode(float *attended, const float *projections, attention_shape shape,
                      const attention_decode_group *group, int64_t page_offset, int64_t key_head, float *workspace);
