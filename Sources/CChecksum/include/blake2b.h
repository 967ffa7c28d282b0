// BLAKE2b-256 of many pieces at once. Source: RFC 7693, no key, 32 bytes of output.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// digests[i - first] (32 bytes each) = BLAKE2b-256 of piece i of `data`, first ≤ i < last. A piece is `piece` bytes
/// (at least 1), the last one what is left of `count`. Eight pieces share the lanes of vector registers.
void blake2b_256_pieces(uint8_t *digests, const uint8_t *data, size_t count, size_t piece, size_t first, size_t last);
