// One step of AdamW over moments in float32, for the kernels that keep them so and those that store them smaller. No
// include guard: a file includes it once for each instruction set.
#define moments VARIANT(moments)

/// m and v become those after the gradient, parameters move, the gradient is cleared.
INLINE void moments(float *restrict parameters, float *restrict gradients, float *restrict m, float *restrict v,
                    int64_t n, const adamw_step *step) {
    const float scale = step->gradient_scale, b1 = step->beta1, b2 = step->beta2, epsilon = step->epsilon;
    const float c1 = 1.0f - b1, c2 = 1.0f - b2, keep = step->keep, size = step->step_size;
    const float second_scale = step->second_scale;
    for (int64_t i = 0; i < n; i++) {
        const float g = gradients[i] * scale;
        const float a = b1 * m[i] + c1 * g, b = b2 * v[i] + c2 * g * g;
        m[i] = a;
        v[i] = b;
        gradients[i] = 0;
        parameters[i] = parameters[i] * keep - size * a / (sqrtf(b) * second_scale + epsilon);
    }
}
#undef moments
