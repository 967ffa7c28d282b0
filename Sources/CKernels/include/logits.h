// The gradient of log-probs and entropies of chosen tokens (sampling_score_rows) by logits.
// R rows of V logits; z = logits · inverse_temperature, p = softmax(z). Targets of row r are entries
// offsets[r] ≤ e < offsets[r + 1] of `targets`; entry e belongs to the score number outputs[e]. One row can have
// several targets: a prompt's last row predicts the first token of every completion of its group.
#pragma once
#include <stdint.h>

/// log_sums[r] = log Σ e^z. Replaces logits by ∂loss/∂logits: with g = ∂loss/∂log-prob and h = ∂loss/∂entropy (0 when d_entropies is NULL),
/// dz = Σ over targets of g·(onehot − p) − h·p·(log p + H).
void logits_gradient(float *logits, const float *log_sums, const float *d_log_probs, const float *d_entropies,
                     const float *entropies, const int32_t *offsets, const int32_t *targets,
                     const int32_t *outputs, float inverse_temperature, int64_t rows, int64_t v);
