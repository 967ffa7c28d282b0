// Random numbers as a function of their place.
#include "initialization.h"
#include "functions_parts.h"
#include <math.h>
#include <string.h>

uint64_t keyed_bits(uint64_t seed, uint64_t tagged, uint64_t b) {
    uint32_t x = (uint32_t)b, y = (uint32_t)(b >> 32), z = (uint32_t)tagged, w = (uint32_t)(tagged >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t first = 0xD2511F53ull * x, second = 0xCD9E8D57ull * z;
        x = (uint32_t)(second >> 32) ^ y ^ k0;
        y = (uint32_t)second;
        z = (uint32_t)(first >> 32) ^ w ^ k1;
        w = (uint32_t)first;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (uint64_t)x | (uint64_t)y << 32;
}

static double uniform(uint64_t seed, uint64_t tagged, uint64_t b) {
    return (double)(keyed_bits(seed, tagged, b) >> 11) * 0x1p-53;
}

/// ln x for normal x > 0: x = 2^n·m with m in [√½, √2), ln m = 2·artanh(s), s = (m − 1)/(m + 1), |s| < 0.172. Not
/// `exact_log`, which adds up in another order: the random models that are made with this one stay what they are.
static double natural_log(double x) {
    int64_t n;
    const double m = significand_near_one(x, &n);
    const double s = (m - 1) / (m + 1), t = s * s;
    double sum = 0;
    for (int k = 21; k >= 1; k -= 2) sum = sum * t + 1.0 / k;
    return (double)n * 0.69314718055994531 + 2 * s * sum;
}

/// (cos, sin) of 2π·u for u in [0, 1): the nearest quarter turn q, then Taylor series on |x| ≤ π/4.
static void turn(double u, double *cosine, double *sine) {
    const int q = (int)(u * 4 + 0.5);
    const double x = (u - q * 0.25) * 6.283185307179586, t = x * x;
    double c = 0, s = 0;
    for (int k = 18; k >= 2; k -= 2) c = (1.0 - c) * t / (double)(k * (k - 1));
    for (int k = 19; k >= 3; k -= 2) s = (1.0 - s) * t / (double)(k * (k - 1));
    c = 1.0 - c;
    s = x * (1.0 - s);
    switch (q & 3) {
    case 0: *cosine = c, *sine = s; break;
    case 1: *cosine = -s, *sine = c; break;
    case 2: *cosine = -c, *sine = -s; break;
    default: *cosine = s, *sine = -c; break;
    }
}

void normal_fill(float *x, int64_t first, int64_t last, uint64_t seed, uint64_t tagged, float deviation) {
    for (int64_t i = first; i < last; i += 2) {
        const double u = uniform(seed, tagged, (uint64_t)i), w = uniform(seed, tagged, (uint64_t)i + 1);
        const double radius = sqrt(-2 * natural_log(1 - u)) * (double)deviation;
        double cosine, sine;
        turn(w, &cosine, &sine);
        x[i - first] = (float)(radius * cosine);
        if (i + 1 < last) x[i + 1 - first] = (float)(radius * sine);
    }
}

void uniform_fill(float *x, int64_t n, uint64_t seed, uint64_t tagged, float bound) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((2 * uniform(seed, tagged, (uint64_t)i) - 1) * (double)bound);
}

void bfloat16_spread(float *x, int64_t first, int64_t last, uint64_t seed, uint64_t tagged) {
    uint64_t random = 0;
    for (int64_t i = first; i < last; i++, random >>= 16) {
        if (i % 4 == 0) random = keyed_bits(seed, tagged, (uint64_t)i / 4);
        float *place = x + (i - first);
        const float magnitude = fabsf(*place);
        if (!(magnitude >= 0x1p-100f && magnitude < INFINITY)) continue;
        const int32_t offset = (int32_t)(random & 0xFFFF) - 0x8000;
        uint32_t bits;
        memcpy(&bits, place, sizeof bits);
        if (bits & 0xFFFF) continue;
        bits += (uint32_t)(offset > -0x8000 ? offset : 1 - 0x8000);
        memcpy(place, &bits, sizeof bits);
    }
}
