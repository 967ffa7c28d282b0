// Eight BLAKE2b hashes of equally long inputs in lockstep, one in each 64-bit lane.
#include "blake2b.h"
#include <string.h>

#pragma clang diagnostic ignored "-Wpsabi"
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, BLOCK = 128, DIGEST = 32 };

typedef uint64_t lanes __attribute__((vector_size(64)));
typedef uint64_t unaligned_lanes __attribute__((vector_size(64), aligned(1)));

static const uint64_t initial[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

INLINE lanes all(uint64_t x) { return (lanes){x, x, x, x, x, x, x, x}; }

/// 8 rows of 8 words, in place.
INLINE void transpose(lanes r[8]) {
    lanes t[8], u[8];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i += 4) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 2; j++) {
            u[i + j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            u[i + j + 2] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        r[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        r[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

#define ROTATE(x, n) (((x) >> (n)) | ((x) << (64 - (n))))
#define MIX(a, b, c, d, x, y)                                          \
    v[a] += v[b] + m[x], v[d] = ROTATE(v[d] ^ v[a], 32);               \
    v[c] += v[d], v[b] = ROTATE(v[b] ^ v[c], 24);                      \
    v[a] += v[b] + m[y], v[d] = ROTATE(v[d] ^ v[a], 16);               \
    v[c] += v[d], v[b] = ROTATE(v[b] ^ v[c], 63);
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    MIX(0, 4, 8, 12, s0, s1)                                                        \
    MIX(1, 5, 9, 13, s2, s3)                                                        \
    MIX(2, 6, 10, 14, s4, s5)                                                       \
    MIX(3, 7, 11, 15, s6, s7)                                                       \
    MIX(0, 5, 10, 15, s8, s9)                                                       \
    MIX(1, 6, 11, 12, s10, s11)                                                     \
    MIX(2, 7, 8, 13, s12, s13)                                                      \
    MIX(3, 4, 9, 14, s14, s15)

/// One block of every lane. `done`: bytes hashed with this block.
INLINE void compress(lanes h[8], const uint8_t *const from[LANES], uint64_t done, int is_last) {
    lanes m[16], v[16];
#pragma clang loop unroll(full)
    for (int half = 0; half < 2; half++) {
#pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; lane++)
            m[half * 8 + lane] = *(const unaligned_lanes *)(from[lane] + half * 64);
        transpose(m + half * 8);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) v[i] = h[i], v[i + 8] = all(initial[i]);
    v[12] ^= all(done);
    if (is_last) v[14] = ~v[14];
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4)
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8)
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13)
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9)
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11)
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10)
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5)
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0)
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

/// Digests of `used` of eight inputs of `count` bytes each, at least 1.
INLINE void hash_eight(uint8_t *const *digests, const uint8_t *const data[LANES], size_t count, int used) {
    lanes h[8];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) h[i] = all(initial[i]);
    h[0] ^= all(0x01010000 ^ DIGEST);
    const uint8_t *from[LANES];
    size_t at = 0;
    for (; count - at > BLOCK; at += BLOCK) {
        for (int lane = 0; lane < LANES; lane++) from[lane] = data[lane] + at;
        compress(h, from, at + BLOCK, 0);
    }
    uint8_t last[LANES][BLOCK] = {{0}};
    for (int lane = 0; lane < LANES; lane++) {
        memcpy(last[lane], data[lane] + at, count - at);
        from[lane] = last[lane];
    }
    compress(h, from, count, 1);
    transpose(h);
    for (int lane = 0; lane < used; lane++) memcpy(digests[lane], &h[lane], DIGEST);
}

INLINE void hash_equal(uint8_t *const *digests, const uint8_t *const *pieces, size_t count, size_t length) {
    for (size_t at = 0; at < count; at += LANES) {
        const size_t used = count - at < LANES ? count - at : LANES;
        const uint8_t *from[LANES];
        for (size_t lane = 0; lane < LANES; lane++) from[lane] = pieces[at + (lane < used ? lane : 0)];
        hash_eight(digests + at, from, length, (int)used);
    }
}

#define VARIANT(name, attributes)                                                                             \
    attributes static void name(uint8_t *const *digests, const uint8_t *const *pieces, size_t count,          \
                                size_t length) {                                                              \
        hash_equal(digests, pieces, count, length);                                                           \
    }

VARIANT(hash_portable, )
#if defined(__x86_64__)
VARIANT(hash_avx2, __attribute__((target("avx2"))))
VARIANT(hash_avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx2"), min_vector_width(512))))
#endif

void blake2b_256_equal(uint8_t *const *digests, const uint8_t *const *pieces, size_t count, size_t length) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        hash_avx512(digests, pieces, count, length);
    else if (__builtin_cpu_supports("avx2"))
        hash_avx2(digests, pieces, count, length);
    else
#endif
        hash_portable(digests, pieces, count, length);
}
