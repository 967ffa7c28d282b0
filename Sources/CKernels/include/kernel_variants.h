// The same kernels by instruction set, for the test that all of them give the same bits. The engine calls the plain
// names, which choose by processor.
#pragma once
#include "adapters.h"
#include "attention.h"
#include "optimizer_compressed.h"

#if defined(__x86_64__)
#define VARIANTS_OF(result, name, parameters) \
    result name##_avx512 parameters;          \
    result name##_avx2 parameters;            \
    result name##_portable parameters;

VARIANTS_OF(void, rmsnorm_forward,
            (float *y, int64_t y_stride, float *inverse, const float *x, int64_t x_stride, const float *w, int64_t n,
             int64_t m, int64_t d, float epsilon))
VARIANTS_OF(void, rmsnorm_backward_input,
            (float *dx, int64_t dx_stride, const float *inverse, const float *dy, int64_t dy_stride, const float *x,
             int64_t x_stride, const float *w, int64_t n, int64_t m, int64_t d, int32_t accumulate))
VARIANTS_OF(void, swiglu_backward, (float *d_gate_up, float *dy_to_y, const float *gate_up, int64_t n, int64_t f))
VARIANTS_OF(void, logits_gradient,
            (float *logits, const float *log_sums, const float *d_log_probs, const float *d_entropies,
             const float *entropies, const int32_t *offsets, const int32_t *targets, const int32_t *outputs,
             float inverse_temperature, int64_t rows, int64_t v))
VARIANTS_OF(void, attention_forward,
            (float *attended, float *log_sums, const float *projections, attention_shape shape,
             const attention_group *group, int64_t key_head, float *workspace))
VARIANTS_OF(void, attention_backward,
            (float *d_projections, const float *d_attended, const float *attended, const float *log_sums,
             const float *projections, attention_shape shape, const attention_group *group, int64_t key_head,
             float *workspace))
VARIANTS_OF(void, attention_decode,
            (float *attended, const float *projections, attention_shape shape, const attention_decode_group *group,
             int64_t page_offset, int64_t key_head, float *workspace))
VARIANTS_OF(void, swiglu_forward, (float *y, const float *gate_up, int64_t n, int64_t f))
VARIANTS_OF(void, rotary_apply,
            (float *x, int64_t stride, const int32_t *positions, const float *cosine, const float *sine, int64_t n,
             int64_t heads, int64_t half, float direction))
VARIANTS_OF(void, adamw_update,
            (float *parameters, float *gradients, float *first, float *second, int64_t n, const adamw_step *step))
VARIANTS_OF(void, adamw_update_bf16,
            (float *parameters, float *gradients, uint16_t *first, uint16_t *second, int64_t n, const adamw_step *step,
             uint32_t key))
VARIANTS_OF(void, adamw_update_8bit,
            (float *parameters, float *gradients, uint8_t *first, uint8_t *second, uint8_t *first_exponents,
             uint8_t *second_exponents, int64_t n, const adamw_step *step, uint32_t key))
VARIANTS_OF(void, adapter_merge,
            (float *w, const float *a, const float *b, float scale, int64_t rows, int64_t inputs, int64_t rank))
#undef VARIANTS_OF
#endif
