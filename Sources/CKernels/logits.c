// The gradient of log-probs and entropies by logits. The scores themselves are the sampler's: sampling.c.
#ifndef VARIANT
#include "logits.h"
#define VARIANT_FILE "logits.c"
#include "variants.h"

DISPATCH(void, logits_gradient,
         (float *logits, const float *log_sums, const float *d_log_probs, const float *d_entropies,
          const float *entropies, const int32_t *offsets, const int32_t *targets, const int32_t *outputs,
          float inverse_temperature, int64_t rows, int64_t v),
         (logits, log_sums, d_log_probs, d_entropies, entropies, offsets, targets, outputs, inverse_temperature,
          rows, v))
#else

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
