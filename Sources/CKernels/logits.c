// Log-softmax with gathering and entropy, and its gradient.
#ifndef VARIANT
#include "logits.h"
#define VARIANT_FILE "logits.c"
#include "variants.h"

DISPATCH(void, logits_scores,
         (float *log_probs, float *entropies, float *log_sums, const float *logits, const int32_t *offsets,
          const int32_t *targets, const int32_t *outputs, float inverse_temperature, int64_t rows, int64_t v),
         (log_probs, entropies, log_sums, logits, offsets, targets, outputs, inverse_temperature, rows, v))
DISPATCH(void, logits_gradient,
         (float *logits, const float *log_sums, const float *d_log_probs, const float *d_entropies,
          const float *entropies, const int32_t *offsets, const int32_t *targets, const int32_t *outputs,
          float inverse_temperature, int64_t rows, int64_t v),
         (logits, log_sums, d_log_probs, d_entropies, entropies, offsets, targets, outputs, inverse_temperature,
          rows, v))
#else

#define largest_logit VARIANT(largest_logit)
INLINE float largest_logit(const float *x, int64_t v) {
    vec a = vec_all(-INFINITY), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 4 * LANES <= v; i += 4 * LANES) {
        a = vec_max(a, vec_load(x + i));
        b = vec_max(b, vec_load(x + i + LANES));
        c = vec_max(c, vec_load(x + i + 2 * LANES));
        d = vec_max(d, vec_load(x + i + 3 * LANES));
    }
    float m = vec_largest(vec_max(vec_max(a, b), vec_max(c, d)));
    for (; i < v; i++) m = x[i] > m ? x[i] : m;
    return m;
}

void VARIANT(logits_scores)(float *log_probs, float *entropies, float *log_sums, const float *logits,
                            const int32_t *offsets, const int32_t *targets, const int32_t *outputs,
                            float inverse_temperature, int64_t rows, int64_t v) {
    const vec scale = vec_all(inverse_temperature);
    for (int64_t row = 0; row < rows; row++) {
        const float *x = logits + row * v;
        const float m = largest_logit(x, v);
        const vec largest = vec_all(m);
        vec s0 = {0}, s1 = {0}, t0 = {0}, t1 = {0};  // Σ e^u and Σ u·e^u with u = z − max z
        int64_t i = 0;
        for (; i + 2 * LANES <= v; i += 2 * LANES) {
            const vec a = (vec_load(x + i) - largest) * scale, b = (vec_load(x + i + LANES) - largest) * scale;
            const vec ea = vec_exp(a), eb = vec_exp(b);
            s0 += ea;
            s1 += eb;
            t0 = vec_fma(a, ea, t0);
            t1 = vec_fma(b, eb, t1);
        }
        for (; i < v; i += LANES) {
            vec a = vec_all(-100.0f);  // e^−100 counts as 0
            if (i + LANES <= v) {
                a = (vec_load(x + i) - largest) * scale;
            } else {
                for (int64_t j = i; j < v; j++) a[j - i] = (x[j] - m) * inverse_temperature;
            }
            const vec e = vec_exp(a);
            s0 += e;
            t0 = vec_fma(a, e, t0);
        }
        const float s = vec_sum(s0 + s1), log_s = logf(s);
        log_sums[row] = m * inverse_temperature + log_s;
        const float entropy = log_s - vec_sum(t0 + t1) / s;
        for (int32_t e = offsets[row]; e < offsets[row + 1]; e++) {
            log_probs[outputs[e]] = (x[targets[e]] - m) * inverse_temperature - log_s;
            entropies[outputs[e]] = entropy;
        }
    }
}

void VARIANT(logits_gradient)(float *logits, const float *log_sums, const float *d_log_probs,
                              const float *d_entropies, const float *entropies, const int32_t *offsets,
                              const int32_t *targets, const int32_t *outputs, float inverse_temperature,
                              int64_t rows, int64_t v) {
    const vec scale = vec_all(inverse_temperature);
    for (int64_t row = 0; row < rows; row++) {
        float *x = logits + row * v;
        float g = 0, h = 0, entropy = 0;
        for (int32_t e = offsets[row]; e < offsets[row + 1]; e++) {
            g += d_log_probs[outputs[e]];
            if (d_entropies) h += d_entropies[outputs[e]];
            entropy = entropies[outputs[e]];
        }
        // dlogit = p·(−g − h·(log p + H)) / temperature, as p·(slope·log p + constant).
        const float slope = -h * inverse_temperature;
        const vec slopes = vec_all(slope), constants = vec_all(-g * inverse_temperature + slope * entropy);
        const vec shift = vec_all(-log_sums[row]);
        int64_t i = 0;
        for (; i + LANES <= v; i += LANES) {
            const vec log_p = vec_fma(vec_load(x + i), scale, shift);
            vec_store(x + i, vec_exp(log_p) * vec_fma(slopes, log_p, constants));
        }
        if (i < v) {
            const vec log_p = vec_fma(vec_load_part(x + i, v - i), scale, shift);
            vec_store_part(x + i, vec_exp(log_p) * vec_fma(slopes, log_p, constants), v - i);
        }
        for (int32_t e = offsets[row]; e < offsets[row + 1]; e++)
            x[targets[e]] += d_log_probs[outputs[e]] * inverse_temperature;
    }
}
#endif
