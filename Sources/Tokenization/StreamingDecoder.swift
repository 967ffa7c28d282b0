// What can be shown of a completion while its tokens arrive?

/// Turns tokens into text one at a time, holding back the bytes of a character that is not complete yet. All parts
/// together equal `Tokenizer.decode` of all ids.
package struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecials: Bool
    /// The start of a character; at most three bytes.
    private var pending: [UInt8] = []

    package init(_ tokenizer: Tokenizer, skipSpecials: Bool) {
        self.tokenizer = tokenizer
        self.skipSpecials = skipSpecials
    }

    /// - Returns: the text that is certain by now; empty while a character is incomplete.
    package mutating func append(_ id: Int32) -> String {
        if skipSpecials, tokenizer.isSpecial(id) { return "" }
        pending += tokenizer.core.vocabulary.bytes(of: id)
        let certain = pending.count - StreamingDecoder.incompleteSuffix(pending)
        let text = String(decoding: pending[..<certain], as: UTF8.self)
        pending.removeFirst(certain)
        return text
    }

    /// - Returns: U+FFFD where the last character never became complete, else nothing.
    package mutating func finish() -> String {
        let text = String(decoding: pending, as: UTF8.self)
        pending = []
        return text
    }

    /// How many bytes at the end begin a character that further bytes could complete.
    private static func incompleteSuffix(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let lead = bytes[bytes.count - length]
            if lead < 0x80 { return 0 }
            if lead < 0xC0 { continue }
            let needed = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
            guard length < needed, (0xC2...0xF4).contains(lead) else { return 0 }
            return length == 1 || allows(bytes[bytes.count - length + 1], after: lead) ? length : 0
        }
        return 0
    }

    /// Source: the Unicode Standard, table 3-7, well-formed UTF-8 byte sequences.
    private static func allows(_ second: UInt8, after lead: UInt8) -> Bool {
        switch lead {
        case 0xE0: second >= 0xA0
        case 0xED: second <= 0x9F
        case 0xF0: second >= 0x90
        case 0xF4: second <= 0x8F
        default: true
        }
    }
}
