// Drawing one token from a row of logits: weights in blocks, truncation by selection, inverse distribution function.
#include "sampling.h"
#include "sampling_rows.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

// x = 2^e·z with z in [√½, √2); log z = 2 artanh(f), f = (z − 1)/(z + 1), |f| ≤ 0.1716, by its series to f^21
// (remainder below 1e-18). Error below 1e-15·(1 + |log x|).
double sampling_logarithm(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t e = (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
    double z;
    memcpy(&z, &bits, sizeof z);
    if (z > 0x1.6a09e667f3bcdp+0) {
        z *= 0.5;
        e += 1;
    }
    double f = (z - 1) / (z + 1), s = f * f, series = 0;
    for (int power = 21; power >= 3; power -= 2) series = (series + 1.0 / power) * s;
    return (double)e * 0x1.62e42fefa39efp-1 + 2 * (f + f * series);
}

// One row with everything known about it. Pointers lead into the caller's scratch.
typedef struct {
    const sampling_row_kernels *kernels;
    const float *logits;
    int64_t count, blocks;
    float *maxima;      // (blocks)
    double *block_sums; // (blocks)
    float *weights;     // (blocks·SAMPLING_BLOCK): e^((logit − maximum)/temperature)
    int32_t *candidates; // (V): ids still in question during a selection, ascending
    float maximum;
    double temperature, sum, moment;
} row;

static int64_t block_count(int64_t count) { return (count + SAMPLING_BLOCK - 1) / SAMPLING_BLOCK; }
static int64_t aligned64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t sampling_scratch_bytes(int64_t vocabulary) {
    int64_t blocks = block_count(vocabulary);
    return aligned64(blocks * (int64_t)sizeof(float)) + aligned64(blocks * (int64_t)sizeof(double))
        + blocks * SAMPLING_BLOCK * (int64_t)(sizeof(float) + sizeof(int32_t));
}

static double total(const double *sums, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += sums[i];
    return sum;
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
    row *row, sampling_instruction_set set, const float *logits, int64_t count, double temperature, void *scratch,
    sampling_result *result) {
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
    row->moment = row->kernels->exponentials(
        logits, count, maximum, (float)scale, row->weights, row->block_sums);
    row->sum = total(row->block_sums, blocks);
    if (row->moment != row->moment) return not_finite(logits, count, result);
    return SAMPLING_DRAWN;
}

// Nats, relative to the most probable token; exact but for the rounding of doubles.
static double relative_log_weight(const row *row, int32_t token) {
    return ((double)row->logits[token] - (double)row->maximum) / row->temperature;
}

static void describe(const row *row, int32_t token, sampling_result *result) {
    double log_sum = sampling_logarithm(row->sum);
    double entropy = log_sum - row->moment / row->sum;
    result->token = token;
    result->policy_log_prob = (float)(relative_log_weight(row, token) - log_sum);
    result->sampled_log_prob = result->policy_log_prob;
    result->entropy = entropy > 0 ? (float)entropy : 0;
}

// ---- truncation: which tokens are kept -------------------------------------------------------------------------

// The most probable tokens up to a limit: those at or above `threshold`, less the equals that got the weight 0.
typedef struct {
    float threshold;
    double mass; // sum of the kept weights
} cut;

typedef struct {
    double count, mass;
} amount;

static int reaches(amount have, amount limit) { return have.count >= limit.count || have.mass >= limit.mass; }

static amount at_least(const row *row, float threshold) {
    amount found;
    found.count = (double)row->kernels->at_least(
        row->logits, row->count, threshold, row->maxima, row->weights, &found.mass);
    return found;
}

// Between two logits, below the higher one: neither side of it is empty.
static float middle_of(float low, float high) {
    float middle = (float)(((double)low + (double)high) * 0.5);
    return middle < high ? middle : low;
}

// A logit that about `wanted` blocks reach: 16 halvings of the range of block maxima. Only speed depends on it.
static float first_guess(const row *row, float low, int64_t wanted) {
    float high = row->maximum;
    if (wanted > row->blocks) wanted = row->blocks;
    for (int halving = 0; halving < 16; halving++) {
        float middle = middle_of(low, high);
        int64_t above = 0;
        for (int64_t block = 0; block < row->blocks; block++) above += row->maxima[block] >= middle;
        if (above >= wanted) low = middle;
        else high = middle;
    }
    return low;
}

// Narrows the range of logits in which the limit is reached, a vector pass at a time, until few tokens are left in it;
// lists those in id order. `above` receives what is more probable than they are.
static int64_t narrow(row *row, amount limit, int64_t wanted, amount *above) {
    enum { FEW = 512, PASS_LIMIT = 24 };
    double lowest = (double)row->maximum + row->temperature * ((double)SAMPLING_LOWEST_EXPONENT - 1);
    float low = lowest < -0x1.fffffep127 ? -0x1.fffffep127f : (float)lowest;
    float high = __builtin_inff(), guess = row->maximum;
    double below_low = (double)row->count;
    *above = (amount){0, 0};
    for (int pass = 0; pass < PASS_LIMIT && low < guess; pass++) {
        amount found = at_least(row, guess);
        if (reaches(found, limit)) {
            low = guess;
            below_low = found.count;
        } else {
            high = guess;
            *above = found;
        }
        if (below_low - above->count <= FEW || high > row->maximum) break;
        guess = pass == 0 ? first_guess(row, low, wanted) : middle_of(low, high);
    }
    int64_t listed = 0;
    for (int64_t block = 0; block < row->blocks; block++) {
        if (row->maxima[block] < low) continue;
        int64_t end = (block + 1) * SAMPLING_BLOCK < row->count ? (block + 1) * SAMPLING_BLOCK : row->count;
        for (int64_t i = block * SAMPLING_BLOCK; i < end; i++) {
            row->candidates[listed] = (int32_t)i;
            listed += (row->logits[i] >= low) & (row->logits[i] < high);
        }
    }
    return listed;
}

// Among equals the lower id goes first; those past the limit get the weight 0. Never cuts the most probable token.
static cut cut_equals(row *row, int64_t count, amount above, amount limit) {
    for (int64_t i = 0; i < count; i++) {
        float *w = row->weights + row->candidates[i];
        if (above.count > 0 && reaches(above, limit)) {
            *w = 0;
        } else {
            above.count += 1;
            above.mass += (double)*w;
        }
    }
    return (cut){row->logits[row->candidates[0]], above.mass};
}

// Fewest most probable tokens that reach the limit. Halves the range of the candidates' logits and goes on with the
// side where the limit lies: each round drops at least one value, and at most 280 rounds halve all floats.
static cut select_most_probable(row *row, amount limit, int64_t wanted) {
    amount above;
    int64_t count = narrow(row, limit, wanted, &above);
    int32_t *ids = row->candidates;
    if (count == 0) return (cut){-__builtin_inff(), above.mass}; // every other token is beyond reach
    for (;;) {
        float low = row->logits[ids[0]], high = low;
        for (int64_t i = 1; i < count; i++) {
            float x = row->logits[ids[i]];
            low = x < low ? x : low;
            high = x > high ? x : high;
        }
        if (low == high) return cut_equals(row, count, above, limit);
        float middle = middle_of(low, high);
        amount reached = above;
        for (int64_t i = 0; i < count; i++) {
            int taken = row->logits[ids[i]] > middle;
            reached.count += taken;
            reached.mass += taken ? (double)row->weights[ids[i]] : 0;
        }
        int go_up = reaches(reached, limit);
        if (!go_up) above = reached;
        int64_t kept = 0;
        for (int64_t i = 0; i < count; i++) {
            int32_t id = ids[i];
            ids[kept] = id;
            kept += (row->logits[id] > middle) == go_up;
        }
        count = kept;
    }
}

// The smallest float that is not below x.
static float rounded_up(double x) {
    float f = (float)x;
    if ((double)f >= x) return f;
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits = f < 0 ? bits - 1 : f == 0 ? 1 : bits + 1;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// Leaves weights above 0 only on the kept tokens; returns their sum.
static double truncate_row(row *row, const sampling_options *options) {
    const double unlimited = __builtin_inf();
    float threshold = -__builtin_inff();
    double mass = row->sum;
    int truncated = 0;
    if (options->top_k > 0 && options->top_k < row->count) {
        cut top = select_most_probable(row, (amount){(double)options->top_k, unlimited}, options->top_k);
        threshold = top.threshold;
        mass = top.mass;
        truncated = 1;
    }
    if (options->top_p < 1) {
        cut top = select_most_probable(row, (amount){unlimited, options->top_p * mass}, 32);
        threshold = top.threshold > threshold ? top.threshold : threshold;
        truncated = 1;
    }
    if (options->min_p > 0) {
        double lowest = (double)row->maximum + row->temperature * sampling_logarithm(options->min_p);
        float floor = rounded_up(lowest);
        threshold = floor > threshold ? floor : threshold;
        truncated = 1;
    }
    if (!truncated) return row->sum;
    row->kernels->keep(row->logits, row->count, threshold, row->maxima, row->weights, row->block_sums);
    return total(row->block_sums, row->blocks);
}

// ---- drawing ---------------------------------------------------------------------------------------------------

// First token in id order at which the running sum of weights exceeds `target`.
static int32_t invert(const row *row, double target) {
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

static int32_t most_probable(const row *row) {
    int64_t block = 0;
    while (row->maxima[block] != row->maximum) block++;
    int64_t i = block * SAMPLING_BLOCK;
    while (row->logits[i] != row->maximum) i++;
    return (int32_t)i;
}

sampling_status sampling_draw(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, const sampling_options *options,
    double uniform, void *scratch, sampling_result *result) {
    row row;
    int greedy = options->temperature == 0;
    double temperature = greedy ? 1 : options->temperature;
    sampling_status status = prepare(&row, set, logits, vocabulary, temperature, scratch, result);
    if (status != SAMPLING_DRAWN) return status;
    if (greedy) {
        describe(&row, most_probable(&row), result);
        result->sampled_log_prob = 0;
        return SAMPLING_DRAWN;
    }
    double kept = truncate_row(&row, options);
    int32_t token = invert(&row, uniform * kept);
    describe(&row, token, result);
    result->sampled_log_prob = (float)(relative_log_weight(&row, token) - sampling_logarithm(kept));
    return SAMPLING_DRAWN;
}

sampling_status sampling_score(
    sampling_instruction_set set, const float *logits, int64_t vocabulary, double temperature, int32_t token,
    void *scratch, sampling_result *result) {
    row row;
    sampling_status status = prepare(&row, set, logits, vocabulary, temperature, scratch, result);
    if (status == SAMPLING_DRAWN) describe(&row, token, result);
    return status;
}
