// Drawing one token from a row of logits: weights in blocks, truncation, inverse distribution function.
#include "sampling.h"
#include "functions.h"
#include "processor.h"
#include "sampling_rows.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

static int64_t block_count(int64_t count) { return (count + SAMPLING_BLOCK - 1) / SAMPLING_BLOCK; }
static int64_t aligned64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t sampling_scratch_bytes(int64_t vocabulary) {
    int64_t blocks = block_count(vocabulary);
    return aligned64(blocks * (int64_t)sizeof(float)) + aligned64(blocks * (int64_t)sizeof(double))
        + blocks * SAMPLING_BLOCK * (int64_t)(sizeof(float) + sizeof(int32_t));
}

static int is_bad(float x) { return x != x || x == __builtin_inff(); }

static sampling_status not_finite(const float *logits, int64_t count, sampling_result *result) {
    *result = (sampling_result){.token = -1};
    for (int64_t i = 0; i < count; i++) {
        if (!is_bad(logits[i])) continue;
        result->token = (int32_t)i;
        break;
    }
    return SAMPLING_NOT_FINITE;
}

// Weights, their sum and their moment at a temperature above 0.
static sampling_status prepare(
    sampling_row *row, sampling_instruction_set set, const float *logits, int64_t count, double temperature,
    void *scratch, sampling_result *result) {
    char *bytes = scratch;
    int64_t blocks = block_count(count);
    row->kernels = sampling_rows(set);
    row->logits = logits;
    row->count = count;
    row->blocks = blocks;
    row->weights = (float *)bytes;
    row->candidates = (int32_t *)(row->weights + blocks * SAMPLING_BLOCK);
    row->block_sums = (double *)(row->candidates + blocks * SAMPLING_BLOCK);
    row->maxima = (float *)((char *)row->block_sums + aligned64(blocks * (int64_t)sizeof(double)));
    row->temperature = temperature;
    row->kernels->block_maxima(logits, count, row->maxima);
    float maximum = row->maxima[0];
    for (int64_t block = 1; block < blocks; block++) {
        // A NaN may pass for a block's maximum; the moment finds it.
        if (row->maxima[block] > maximum || maximum != maximum) maximum = row->maxima[block];
    }
    if (is_bad(maximum) || maximum == -__builtin_inff()) return not_finite(logits, count, result);
    row->maximum = maximum;
    // Limited on both sides: 0·scale must be 0 for the largest logit, and −inf·scale −inf.
    double scale = 1 / temperature;
    scale = scale > 0x1.fffffep127 ? 0x1.fffffep127 : scale < 0x1p-126 ? 0x1p-126 : scale;
    row->moment =
        row->kernels->exponentials(logits, count, maximum, (float)scale, row->weights, row->block_sums);
    row->sum = sampling_total(row->block_sums, blocks);
    if (row->moment != row->moment) return not_finite(logits, count, result);
    return SAMPLING_DRAWN;
}

// Nats, relative to the most probable token; exact but for the rounding of doubles.
static double relative_log_weight(const sampling_row *row, int32_t token) {
    return ((double)row->logits[token] - (double)row->maximum) / row->temperature;
}

static void describe(const sampling_row *row, int32_t token, sampling_result *result) {
    double log_sum = exact_log(row->sum);
    double entropy = log_sum - row->moment / row->sum;
    result->token = token;
    result->policy_log_prob = (float)(relative_log_weight(row, token) - log_sum);
    result->sampled_log_prob = result->policy_log_prob;
    result->entropy = entropy > 0 ? (float)entropy : 0;
}

// First token in id order at which the running sum of weights exceeds `target`.
static int32_t invert(const sampling_row *row, double target) {
    double before = 0;
    int64_t chosen = -1;
    for (int64_t block = 0; block < row->blocks; block++) {
        if (!(row->block_sums[block] > 0)) continue;
        chosen = block;
        if (before + row->block_sums[block] > target) break;
        before += row->block_sums[block];
    }
    int64_t end = (chosen + 1) * SAMPLING_BLOCK < row->count ? (chosen + 1) * SAMPLING_BLOCK : row->count;
    int64_t last = -1;
    for (int64_t i = chosen * SAMPLING_BLOCK; i < end; i++) {
        if (!(row->weights[i] > 0)) continue;
        last = i;
        before += (double)row->weights[i];
        if (before > target) break;
    }
    // The tree's sum of a block may exceed this running sum in the last bits: then the block's last token is it.
    return (int32_t)last;
}

static int32_t most_probable(const sampling_row *row) {
    int64_t block = 0;
    while (row->maxima[block] != row->maximum) block++;
    int64_t i = block * SAMPLING_BLOCK;
    while (row->logits[i] != row->maximum) i++;
    return (int32_t)i;
}

// noinline: nothing in them may move out of the floating-point mode that the public calls set.
__attribute__((noinline)) static sampling_status draw(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, const sampling_options *options,
    double uniform, void *scratch, sampling_result *result) {
    sampling_row row;
    int greedy = options->temperature == 0;
    double temperature = greedy ? 1 : options->temperature;
    sampling_status status = prepare(&row, set, logits, vocabulary, temperature, scratch, result);
    if (status != SAMPLING_DRAWN) return status;
    if (greedy) {
        describe(&row, most_probable(&row), result);
        result->sampled_log_prob = 0;
        return SAMPLING_DRAWN;
    }
    double kept = sampling_truncate(&row, options);
    int32_t token = invert(&row, uniform * kept);
    describe(&row, token, result);
    result->sampled_log_prob = (float)(relative_log_weight(&row, token) - exact_log(kept));
    return SAMPLING_DRAWN;
}

__attribute__((noinline)) static sampling_status score(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature, int32_t token,
    void *scratch, sampling_result *result) {
    sampling_row row;
    sampling_status status = prepare(&row, set, logits, vocabulary, temperature, scratch, result);
    if (status == SAMPLING_DRAWN) describe(&row, token, result);
    return status;
}

__attribute__((noinline)) static void score_rows(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature,
    const sampling_targets *targets, int64_t rows, void *scratch) {
    for (int64_t r = 0; r < rows; r++) {
        sampling_row row;
        sampling_result result;
        const sampling_status status =
            prepare(&row, set, logits + r * vocabulary, vocabulary, temperature, scratch, &result);
        const int finite = status == SAMPLING_DRAWN;
        targets->log_sums[r] =
            finite ? (float)((double)row.maximum / temperature + exact_log(row.sum)) : __builtin_nanf("");
        for (int32_t e = targets->offsets[r]; e < targets->offsets[r + 1]; e++) {
            const int32_t output = targets->outputs[e];
            if (finite) describe(&row, targets->tokens[e], &result);
            targets->log_probs[output] = finite ? result.policy_log_prob : __builtin_nanf("");
            targets->entropies[output] = finite ? result.entropy : __builtin_nanf("");
        }
    }
}

sampling_status sampling_draw(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, const sampling_options *options,
    double uniform, void *scratch, sampling_result *result) {
    const uint64_t mode = floating_mode_enter();
    sampling_status status = draw(set, logits, vocabulary, options, uniform, scratch, result);
    floating_mode_leave(mode);
    return status;
}

sampling_status sampling_score(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature, int32_t token,
    void *scratch, sampling_result *result) {
    const uint64_t mode = floating_mode_enter();
    sampling_status status = score(set, logits, vocabulary, temperature, token, scratch, result);
    floating_mode_leave(mode);
    return status;
}

void sampling_score_rows(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature,
    const sampling_targets *targets, int64_t rows, void *scratch) {
    const uint64_t mode = floating_mode_enter();
    score_rows(set, logits, vocabulary, temperature, targets, rows, scratch);
    floating_mode_leave(mode);
}
