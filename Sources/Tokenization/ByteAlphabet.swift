// How do vocabulary files write arbitrary bytes as text?

/// The alphabet of GPT-2's byte-level BPE: printable Latin-1 bytes stand for themselves, the other 68 bytes are
/// shifted to U+0100 and up in byte order (a space is written `Ġ`). Used by tokenizer.json and GGUF alike.
enum ByteAlphabet {
    /// Byte → scalar value.
    static let scalars: [UInt32] = {
        var table = [UInt32](repeating: 0, count: 256)
        var shifted: UInt32 = 256
        for byte in 0..<256 {
            let printable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            table[byte] = printable ? UInt32(byte) : shifted
            if !printable { shifted += 1 }
        }
        return table
    }()

    /// Scalar value → byte; -1 where no byte is written so.
    private static let bytes: [Int16] = {
        var table = [Int16](repeating: -1, count: 324)
        for byte in 0..<256 { table[Int(scalars[byte])] = Int16(byte) }
        return table
    }()

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        var view = String.UnicodeScalarView()
        for byte in bytes {
            view.append(Unicode.Scalar(scalars[Int(byte)])!)  // every entry of the table is below U+0144
        }
        return String(view)
    }

    /// - Returns: nil where `text` has a scalar outside the alphabet.
    static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            guard scalar.value < 324, bytes[Int(scalar.value)] >= 0 else { return nil }
            result.append(UInt8(bytes[Int(scalar.value)]))
        }
        return result
    }
}
