// Bytes as text that survives being read aloud, pasted and changed to capitals: RFC 4648 base32 without padding.

enum Base32 {
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    static func text(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count * 8 + 4) / 5)
        var window: UInt32 = 0
        var bits = 0
        for byte in bytes {
            window = window << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                output.append(alphabet[Int(window >> UInt32(bits)) & 31])
            }
            window &= (1 << UInt32(bits)) - 1
        }
        if bits > 0 { output.append(alphabet[Int(window << UInt32(5 - bits)) & 31]) }
        return String(decoding: output, as: UTF8.self)
    }

    /// nil for text with other characters, of an impossible length, or with bits left over that are not zero.
    static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        var output: [UInt8] = []
        var window: UInt32 = 0
        var bits = 0
        for character in text.utf8 {
            let value: UInt8
            switch character {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a")
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "2")...UInt8(ascii: "7"): value = character - UInt8(ascii: "2") + 26
            default: return nil
            }
            window = window << 5 | UInt32(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                output.append(UInt8(truncatingIfNeeded: window >> UInt32(bits)))
                window &= (1 << UInt32(bits)) - 1
            }
        }
        return bits < 5 && window == 0 ? output : nil
    }
}
