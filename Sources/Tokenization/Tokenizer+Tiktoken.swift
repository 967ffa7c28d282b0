// How is a `.tiktoken` rank file read?

extension Tokenizer {
    /// A `.tiktoken` file: one line a token, `base64(bytes) rank`. The rank is the id and the order of merging.
    /// - Parameter specials: control markers with their ids, which the file does not hold. `<|endoftext|>` among them
    ///   becomes the end token.
    package static func tiktoken(
        _ bytes: [UInt8], pattern: PreTokenizer, specials: [(String, Int32)]
    ) throws(TokenizationError) -> Tokenizer {
        let source = "tiktoken vocabulary"
        var entries: [Vocabulary.Entry] = []
        for (number, line) in bytes.split(separator: 0x0A).enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            guard !line.isEmpty else { continue }
            guard let space = line.firstIndex(of: 0x20), let token = base64Decoded(line[..<space]), !token.isEmpty,
                let rank = Int(String(decoding: line[(space + 1)...], as: UTF8.self))
            else {
                let found = String(decoding: line.prefix(80), as: UTF8.self)
                throw .malformed(
                    source: source, subject: "line \(number + 1)", problem: "`\(found)` is not `base64 rank`")
            }
            try place(Vocabulary.Entry(bytes: token, kind: .ordinary), at: rank, in: &entries, source)
        }
        guard !entries.isEmpty else {
            throw .malformed(source: source, subject: "file", problem: "no tokens in \(bytes.count) bytes")
        }
        for (marker, id) in specials {
            try place(Vocabulary.Entry(bytes: Array(marker.utf8), kind: .special), at: Int(id), in: &entries, source)
        }
        var settings = Settings(preTokenizer: pattern)
        settings.prefersWholePieces = true
        settings.eos = specials.first { $0.0 == "<|endoftext|>" }?.1
        return try Tokenizer(entries, .byIdentifier, settings, source: source)
    }

    /// Puts an entry at its id, with holes before it where ids are left out.
    static func place(
        _ entry: Vocabulary.Entry, at id: Int, in entries: inout [Vocabulary.Entry], _ source: String
    ) throws(TokenizationError) {
        guard id >= 0, id <= 2 * entries.count + 65536 else {
            throw .malformed(
                source: source, subject: "token `\(ByteAlphabet.text(entry.bytes).shortened())`",
                problem: "id \(id) after \(entries.count) others")
        }
        while entries.count <= id { entries.append(.hole) }
        guard entries[id] == .hole else {
            throw .malformed(
                source: source, subject: "id \(id)",
                problem: "given to both `\(ByteAlphabet.text(entries[id].bytes).shortened())` and "
                    + "`\(ByteAlphabet.text(entry.bytes).shortened())`")
        }
        entries[id] = entry
    }

    /// - Returns: nil for what is not base64 with its padding.
    static func base64Decoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0
        var symbols = 0
        var padding = 0
        for byte in text {
            let value: UInt32
            switch byte {
            case 0x41...0x5A: value = UInt32(byte) - 0x41  // A–Z
            case 0x61...0x7A: value = UInt32(byte) - 0x61 + 26  // a–z
            case 0x30...0x39: value = UInt32(byte) - 0x30 + 52  // 0–9
            case 0x2B: value = 62  // +
            case 0x2F: value = 63  // /
            case 0x3D: value = 0  // =
            default: return nil
            }
            if byte == 0x3D { padding += 1 } else if padding > 0 { return nil }
            bits = bits << 6 | value
            symbols += 1
            if symbols % 4 == 0 {
                result += [UInt8(bits >> 16 & 0xFF), UInt8(bits >> 8 & 0xFF), UInt8(bits & 0xFF)]
                bits = 0
            }
        }
        guard padding <= 2 else { return nil }
        result.removeLast(padding)
        return result
    }
}
