// The passes over a whole row, compiled once for each instruction set: included by sampling_rows.c with
// ROWS(name) naming the copy. Nothing here may depend on the instruction set but the speed.

// Largest logit of each block. A NaN may be lost here: the moment below finds it.
static void ROWS(block_maxima)(const float *restrict logits, int64_t count, float *restrict maxima) {
    for (int64_t block = 0; block * SAMPLING_BLOCK < count; block++) {
        float tail[SAMPLING_BLOCK] __attribute__((aligned(64)));
        const float *source = block_source(logits, count, block, tail);
        f32x16 top = load(source);
        for (int lane = 16; lane < SAMPLING_BLOCK; lane += 16) {
            f32x16 x = load(source + lane);
            top = SELECT(x > top, x, top);
        }
        f32x16 other = __builtin_shufflevector(top, top, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
        top = SELECT(other > top, other, top);
        other = __builtin_shufflevector(top, top, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3);
        top = SELECT(other > top, other, top);
        other = __builtin_shufflevector(top, top, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1);
        top = SELECT(other > top, other, top);
        maxima[block] = top[1] > top[0] ? top[1] : top[0];
    }
}

// weights (V, whole blocks) = e^((logit − maximum)·scale), 0 below e^−87; block_sums receives the sum of each block.
// Returns Σ weight·d with d = (logit − maximum)·scale, for the entropy: NaN when a logit is.
static double ROWS(exponentials)(
    const float *restrict logits, int64_t count, float maximum, float scale, float *restrict weights,
    double *restrict block_sums) {
    f64x16 moment = {0};
    for (int64_t block = 0; block * SAMPLING_BLOCK < count; block++) {
        float tail[SAMPLING_BLOCK] __attribute__((aligned(64)));
        const float *source = block_source(logits, count, block, tail);
        float *target = weights + block * SAMPLING_BLOCK;
        f32x16 sum = {0}, block_moment = {0};
        for (int lane = 0; lane < SAMPLING_BLOCK; lane += 16) {
            f32x16 d = (load(source + lane) - maximum) * scale;
            i32x16 low = d < SAMPLING_LOWEST_EXPONENT;
            d = (f32x16)((i32x16)d & ~low); // a NaN stays
            f32x16 w;
            EXPONENTIAL(w, d);
            w = (f32x16)((i32x16)w & ~low);
            *(f32x16 *)(target + lane) = w;
            sum += w;
            block_moment = FMA(w, d, block_moment);
        }
        double total;
        TREE_SUM(total, __builtin_convertvector(sum, f64x16));
        block_sums[block] = total;
        moment += __builtin_convertvector(block_moment, f64x16);
    }
    double total;
    TREE_SUM(total, moment);
    return total;
}

// Number of tokens at or above `threshold`; mass receives the sum of their weights.
static int64_t ROWS(at_least)(
    const float *restrict logits, int64_t count, float threshold, const float *restrict maxima,
    const float *restrict weights, double *restrict mass) {
    i32x16 found = {0};
    f64x16 sum = {0};
    for (int64_t block = 0; block * SAMPLING_BLOCK < count; block++) {
        if (maxima[block] < threshold) continue;
        float tail[SAMPLING_BLOCK] __attribute__((aligned(64)));
        const float *source = block_source(logits, count, block, tail);
        const float *weight = weights + block * SAMPLING_BLOCK;
        f32x16 block_sum = {0};
        for (int lane = 0; lane < SAMPLING_BLOCK; lane += 16) {
            i32x16 taken = load(source + lane) >= threshold;
            found -= taken;
            block_sum += (f32x16)((i32x16) * (const f32x16 *)(weight + lane) & taken);
        }
        sum += __builtin_convertvector(block_sum, f64x16);
    }
    int64_t total = 0;
    for (int lane = 0; lane < 16; lane++) total += found[lane];
    TREE_SUM(*mass, sum);
    return total;
}

// Sets the weights of tokens below `threshold` to 0 and sums each block again. Blocks without such a token get the
// sum 0 and their weights are left as they are.
static void ROWS(keep)(
    const float *restrict logits, int64_t count, float threshold, const float *restrict maxima,
    float *restrict weights, double *restrict block_sums) {
    for (int64_t block = 0; block * SAMPLING_BLOCK < count; block++) {
        if (maxima[block] < threshold) {
            block_sums[block] = 0;
            continue;
        }
        float tail[SAMPLING_BLOCK] __attribute__((aligned(64)));
        const float *source = block_source(logits, count, block, tail);
        float *target = weights + block * SAMPLING_BLOCK;
        f32x16 sum = {0};
        for (int lane = 0; lane < SAMPLING_BLOCK; lane += 16) {
            f32x16 w = (f32x16)((i32x16) * (f32x16 *)(target + lane) & (load(source + lane) >= threshold));
            *(f32x16 *)(target + lane) = w;
            sum += w;
        }
        TREE_SUM(block_sums[block], __builtin_convertvector(sum, f64x16));
    }
}

static float ROWS(exponential)(float x) {
    f32x16 d = {0}, w;
    d[0] = x;
    EXPONENTIAL(w, d);
    return w[0];
}

static const sampling_row_kernels ROWS(kernels) = {
    ROWS(block_maxima), ROWS(exponentials), ROWS(at_least), ROWS(keep), ROWS(exponential)};
