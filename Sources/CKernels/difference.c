// Sparse differences of bfloat16 tensors; the format stands in difference.h.
#include "difference.h"

#include <string.h>

static inline uint16_t load16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, 2);
    return value;
}

static inline uint64_t load64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

size_t difference_count_bf16(const uint8_t *restrict before, const uint8_t *restrict after, size_t n) {
    size_t count = 0;
    size_t i = 0;
    while (i < n) {
        // Sums of 16 bits would overflow after 65,535 turns of a lane.
        size_t end = n - i > 16384 ? i + 16384 : n;
        uint16_t part = 0;
        for (; i < end; i++) part += load16(before + 2 * i) != load16(after + 2 * i);
        count += part;
    }
    return count;
}

// ---- writing bits ----

struct bit_writer {
    uint8_t *at;
    uint8_t *end;
    uint64_t held;
    unsigned count;  // bits in `held`, below 8 between calls
    int full;
};

// At most 48 bits.
static inline void put(struct bit_writer *w, uint64_t bits, unsigned count) {
    w->held |= bits << w->count;
    w->count += count;
    while (w->count >= 8) {
        if (w->at == w->end) {
            w->full = 1;
            w->count = 0;
            return;
        }
        *w->at++ = (uint8_t)w->held;
        w->held >>= 8;
        w->count -= 8;
    }
}

static inline void put_unary(struct bit_writer *w, size_t ones) {
    for (; ones >= 32; ones -= 32) put(w, 0xffffffffu, 32);
    put(w, ((uint64_t)1 << ones) - 1, (unsigned)ones + 1);
}

static void put_change(struct bit_writer *w, unsigned k, size_t gap, uint16_t before, uint16_t after) {
    put_unary(w, gap >> k);
    put(w, gap & (((size_t)1 << k) - 1), k);
    uint16_t up = (uint16_t)(after - before);
    unsigned less = up > 32768;
    uint32_t amount = less ? 65536u - up : up;
    unsigned length = 31u - (unsigned)__builtin_clz(amount);
    put(w, less, 1);
    put_unary(w, length);
    put(w, amount & ((1u << length) - 1), length);
}

size_t difference_encode_bf16(
    const uint8_t *restrict before, const uint8_t *restrict after, size_t n, size_t changed, uint8_t *restrict code,
    size_t room) {
    if (room < 2) return 0;
    // The best parameter for gaps of this mean is near the logarithm of ln 2 times the mean.
    unsigned k = 0;
    while (k < 31 && (uint64_t)changed * 10 << (k + 1) <= (uint64_t)n * 7) k++;
    code[0] = (uint8_t)k;
    struct bit_writer w = {code + 1, code + room, 0, 0, 0};
    size_t next = 0;  // the first number after the last change
    size_t i = 0;
    for (; i + 16 <= n && !w.full; i += 16) {
        const uint8_t *a = before + 2 * i, *b = after + 2 * i;
        uint64_t any = (load64(a) ^ load64(b)) | (load64(a + 8) ^ load64(b + 8)) | (load64(a + 16) ^ load64(b + 16))
            | (load64(a + 24) ^ load64(b + 24));
        if (any == 0) continue;
        for (size_t j = i; j < i + 16; j++) {
            uint16_t x = load16(before + 2 * j), y = load16(after + 2 * j);
            if (x == y) continue;
            put_change(&w, k, j - next, x, y);
            next = j + 1;
        }
    }
    for (; i < n && !w.full; i++) {
        uint16_t x = load16(before + 2 * i), y = load16(after + 2 * i);
        if (x == y) continue;
        put_change(&w, k, i - next, x, y);
        next = i + 1;
    }
    if (w.count > 0) put(&w, 0, 8 - w.count);
    return w.full ? 0 : (size_t)(w.at - code);
}

// ---- reading bits ----

struct bit_reader {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t held;
    unsigned count;  // bits in `held`
};

// At least 56 bits where there are so many.
static inline void fill(struct bit_reader *r) {
    while (r->count <= 56 && r->at < r->end) {
        r->held |= (uint64_t)*r->at++ << r->count;
        r->count += 8;
    }
}

// At most 32 bits. Returns 0 where there are fewer.
static inline int take(struct bit_reader *r, unsigned count, uint32_t *out) {
    if (r->count < count) {
        fill(r);
        if (r->count < count) return 0;
    }
    *out = (uint32_t)(r->held & (((uint64_t)1 << count) - 1));
    r->held >>= count;
    r->count -= count;
    return 1;
}

static inline int take_unary(struct bit_reader *r, size_t *out) {
    size_t ones = 0;
    while (1) {
        fill(r);
        if (r->count == 0) return 0;
        // Bits above `count` are zero, so a run of ones ends at the latest there.
        unsigned run = ~r->held == 0 ? 64 : (unsigned)__builtin_ctzll(~r->held);
        if (run < r->count) {
            r->held >>= run;
            r->held >>= 1;
            r->count -= run + 1;
            *out = ones + run;
            return 1;
        }
        ones += r->count;
        r->held = 0;
        r->count = 0;
    }
}

enum difference_fault difference_apply_bf16(
    const uint8_t *restrict code, size_t bytes, size_t changed, uint8_t *restrict numbers, size_t n) {
    if (bytes == 0) return DIFFERENCE_SHORT;
    unsigned k = code[0];
    if (k > 31) return DIFFERENCE_AMOUNT;
    struct bit_reader r = {code + 1, code + bytes, 0, 0};
    size_t place = 0;
    for (size_t i = 0; i < changed; i++) {
        size_t high, length;
        uint32_t low, less, rest;
        if (!take_unary(&r, &high) || !take(&r, k, &low)) return DIFFERENCE_SHORT;
        if (high > (n >> k)) return DIFFERENCE_OUTSIDE;
        size_t gap = (high << k) | low;
        if (place >= n || gap >= n - place) return DIFFERENCE_OUTSIDE;
        place += gap;
        if (!take(&r, 1, &less) || !take_unary(&r, &length)) return DIFFERENCE_SHORT;
        if (length > 15) return DIFFERENCE_AMOUNT;
        if (!take(&r, (unsigned)length, &rest)) return DIFFERENCE_SHORT;
        uint32_t amount = (1u << length) | rest;
        if (amount > 32768) return DIFFERENCE_AMOUNT;
        uint16_t value = (uint16_t)(load16(numbers + 2 * place) + (less ? 65536u - amount : amount));
        memcpy(numbers + 2 * place, &value, 2);
        place++;
    }
    fill(&r);
    return r.at == r.end && r.count < 8 && r.held == 0 ? DIFFERENCE_SOUND : DIFFERENCE_LONG;
}
