// Sixteen floats at a time: loads, stores, sums and exp. No include guard: variants.h includes it per instruction set.
#define vec_load VARIANT(vec_load)
#define vec_store VARIANT(vec_store)
#define vec_load_part VARIANT(vec_load_part)
#define vec_store_part VARIANT(vec_store_part)
#define vec_all VARIANT(vec_all)
#define vec_fma VARIANT(vec_fma)
#define vec_max VARIANT(vec_max)
#define vec_sum VARIANT(vec_sum)
#define vec_largest VARIANT(vec_largest)
#define vec_exp VARIANT(vec_exp)

INLINE vec vec_load(const float *p) { return *(const unaligned_vec *)p; }
INLINE void vec_store(float *p, vec v) { *(unaligned_vec *)p = v; }

/// The first n floats (n < 16), the rest 0.
INLINE vec vec_load_part(const float *p, int64_t n) {
    vec v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}
INLINE void vec_store_part(float *p, vec v, int64_t n) { memcpy(p, &v, (size_t)n * sizeof(float)); }

INLINE vec vec_all(float x) { return (vec){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE vec vec_fma(vec a, vec b, vec c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vec vec_max(vec a, vec b) { return __builtin_elementwise_max(a, b); }

/// Σ of the lanes: halves added until one is left.
INLINE float vec_sum(vec v) {
    half_vec h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                 __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    quarter_vec q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
    return (q[0] + q[2]) + (q[1] + q[3]);
}

INLINE float vec_largest(vec v) {
    float m = v[0];
    for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
    return m;
}

/// e^x. Relative error below 2e-7 for −87.3 ≤ x ≤ 88.7; below −87.3 exactly 0; NaN stays NaN; above, infinity.
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2 (ln 2 in two parts, the first exact in 10 bits); e^r is the polynomial of
/// degree 7 of Cephes' expf; 2^n is built from the exponent's bits.
INLINE vec vec_exp(vec x) {
    const vec lowest = vec_all(-87.3f), magic = vec_all(12582912.0f);  // 1.5·2^23: adding it rounds to an integer
    const vec clamped = __builtin_elementwise_min(__builtin_elementwise_max(x, lowest), vec_all(88.0f));
    const vec shifted = vec_fma(clamped, vec_all(1.44269504088896341f), magic);
    const vec n = shifted - magic;
    vec r = vec_fma(n, vec_all(-0.693359375f), x);
    r = vec_fma(n, vec_all(2.12194440e-4f), r);
    vec p = vec_all(1.9875691500e-4f);
    p = vec_fma(p, r, vec_all(1.3981999507e-3f));
    p = vec_fma(p, r, vec_all(8.3334519073e-3f));
    p = vec_fma(p, r, vec_all(4.1665795894e-2f));
    p = vec_fma(p, r, vec_all(1.6666665459e-1f));
    p = vec_fma(p, r, vec_all(5.0000001201e-1f));
    p = vec_fma(p, r * r, r) + vec_all(1.0f);
    const vec scale = (vec)(((int_vec)shifted + 127) << 23);
    return (vec)((int_vec)(p * scale) & ~(x < lowest));
}
