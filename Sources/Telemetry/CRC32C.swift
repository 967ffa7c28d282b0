// The checksum of TensorBoard's record files: CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.

import CChecksum

enum CRC32C {
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let whole = Array(bytes)
        return rookery_crc32c(0, whole, whole.count)
    }

    /// As TFRecord stores it, so that a checksum of checksummed data stays useful: rotated right by 15 bits, plus a
    /// constant.
    static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let crc = checksum(bytes)
        return (crc >> 15 | crc << 17) &+ 0xa282_ead8
    }
}
