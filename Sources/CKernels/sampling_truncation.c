// Which tokens top-k, top-p and min-p keep: a threshold found by narrowing, never a sort of the vocabulary.
#include "sampling.h"
#include "functions.h"
#include "sampling_rows.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

// The most probable tokens up to a limit: those at or above `threshold`, less the equals that got the weight 0.
typedef struct {
    float threshold;
    double mass; // sum of the kept weights
} cut;

typedef struct {
    double count, mass;
} amount;

static int reaches(amount have, amount limit) { return have.count >= limit.count || have.mass >= limit.mass; }

static amount at_least(const sampling_row *row, float threshold) {
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
static float first_guess(const sampling_row *row, float low, int64_t wanted) {
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
static int64_t narrow(sampling_row *row, amount limit, int64_t wanted, amount *above) {
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
static cut cut_equals(sampling_row *row, int64_t count, amount above, amount limit) {
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
static cut select_most_probable(sampling_row *row, amount limit, int64_t wanted) {
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

double sampling_truncate(sampling_row *row, const sampling_options *options) {
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
        double lowest = (double)row->maximum + row->temperature * exact_log(options->min_p);
        float floor = rounded_up(lowest);
        threshold = floor > threshold ? floor : threshold;
        truncated = 1;
    }
    if (!truncated) return row->sum;
    row->kernels->keep(row->logits, row->count, threshold, row->maxima, row->weights, row->block_sums);
    return sampling_total(row->block_sums, row->blocks);
}
