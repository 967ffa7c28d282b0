// How one token is drawn from a row of logits, and what its probability was.
//
// Dimension: V vocabulary size. A token is a function of (row, options, uniform) alone: sums run over 16 lanes in
// blocks of 256 tokens and then a fixed tree, fused multiply-adds are explicit, exp and log are the kernels' own, and
// the thread's floating-point mode is set aside, so every instruction set and thread gives the same bits. A logit of
// −inf is a token that is never drawn; NaN, +inf and a row of nothing but −inf are reported.
//
// Errors, against exact arithmetic on the given floats. Bounds: a weight e^d, d > −87, 8e-8 + 1.8e-7·|d| relative; the
// sum of weights 3e-6 relative and so a log-prob 3e-6 absolute. Measured over 600 rows of 49,152 logits of all shapes:
// log-prob 5.4e-7, entropy 6.1e-7 absolute. Weights below e^−87 count as 0.
#pragma once
#include <stdint.h>

typedef enum {
    SAMPLING_BASELINE = 0, // no instruction set beyond the compiler's default; slow without a fused multiply-add
    SAMPLING_AVX2 = 1,
    SAMPLING_AVX512 = 2,
} sampling_instruction_set;

typedef struct {
    double temperature; // 0 is greedy: the most probable token, of equals the lowest id
    int64_t top_k;      // 0 is off
    double top_p;       // 1 is off
    double min_p;       // 0 is off
} sampling_options;

typedef enum {
    SAMPLING_DRAWN = 0,
    SAMPLING_NOT_FINITE = 1, // a NaN, a +inf, or nothing but −inf; `token` is the first offender, −1 for the last case
} sampling_status;

typedef struct {
    int32_t token;
    float sampled_log_prob; // nats, under the truncated and renormalised distribution; 0 when greedy
    float policy_log_prob;  // nats, untruncated at the same temperature; at temperature 1 when greedy
    float entropy;          // nats, of the same distribution as policy_log_prob
} sampling_result;

// Best instruction set of this processor.
sampling_instruction_set sampling_best_instruction_set(void);

// Bytes of scratch, aligned to 64, that a call below needs; one call at a time may use them.
int64_t sampling_scratch_bytes(int64_t vocabulary);

// Draws a token by inverting the distribution function over the kept tokens in id order at `uniform` in [0, 1).
//
// Truncation, in the order of Hugging Face's warpers: temperature; top-k keeps the k most probable tokens; top-p keeps
// the fewest most probable tokens whose share of what top-k left is at least p; min-p keeps tokens at least min_p times
// as probable as the most probable one. "Most probable" ranks by logit and then by lower id, so top-k keeps exactly k
// tokens (Hugging Face and vLLM keep all that tie with the k-th) and top-p cuts inside a tie.
// logits (V), V in 1...2^31−1; temperature finite and not negative, top_p in (0, 1], min_p in [0, 1], top_k not
// negative.
sampling_status sampling_draw(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, const sampling_options *options,
    double uniform, void *scratch, sampling_result *result);

// Log-prob (nats) of a given token at a temperature above 0, and the entropy: the same bits as `policy_log_prob` and
// `entropy` of a draw from the same row. `token` of the result is the given one, `sampled_log_prob` the policy's.
sampling_status sampling_score(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature, int32_t token,
    void *scratch, sampling_result *result);

// Which tokens of several rows are scored: row r has the targets offsets[r] ≤ e < offsets[r + 1], and target e fills
// element outputs[e]. A prompt's last row has several: it predicts the first token of every completion of its group.
typedef struct {
    const int32_t *offsets, *tokens, *outputs;
    float *log_probs, *entropies; // nats, by output
    float *log_sums;              // (rows): log Σ e^(logit / temperature)
} sampling_targets;

// sampling_score of rows of logits (rows, V): the same bits. A row that is not finite gives NaN.
void sampling_score_rows(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature,
    const sampling_targets *targets, int64_t rows, void *scratch);

// e^x of x in [−87, 0] as the kernels compute it.
float sampling_exponential(sampling_instruction_set set, float x);
