// CRC32C (Castagnoli): the checksum of envelopes and blob frames.
// Source: RFC 3720 appendix B.4 (polynomial 0x1EDC6F41, reflected 0x82F63B78, initial and final XOR 0xFFFFFFFF).
#ifndef ROOKERY_CRC32C_H
#define ROOKERY_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// Continues `crc` (0 to begin) over `count` bytes: crc32c(crc32c(0, a), b) is the checksum of a followed by b.
uint32_t rookery_crc32c(uint32_t crc, const void *bytes, size_t count);

// The table version that `rookery_crc32c` uses where the processor has no CRC32 instruction; here to be compared.
uint32_t rookery_crc32c_table(uint32_t crc, const void *bytes, size_t count);

#endif
