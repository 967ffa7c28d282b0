// BLAKE2b-256 of many pieces at once. Source: RFC 7693, no key, 32 bytes of output.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// digests[i] (32 bytes) = BLAKE2b-256 of the `length` bytes (at least 1) at pieces[i], i < count. Eight pieces share
/// the lanes of vector registers.
void blake2b_256_equal(uint8_t *const *digests, const uint8_t *const *pieces, size_t count, size_t length);
