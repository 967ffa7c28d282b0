// Where may tokens not cross? A text is cut into pieces first; merges happen inside a piece only.

/// The published patterns, each by the name of the vocabulary that made it known. Matched by hand, exactly as the
/// regular expressions in `PreTokenizer+Patterns.swift` would be.
package enum PreTokenizer: String, Sendable, Codable, CaseIterable {
    /// GPT-2 (r50k_base, p50k_base).
    case gpt2
    /// GPT-4's cl100k_base.
    case cl100k
    /// GPT-4o's o200k_base.
    case o200k
    /// Llama 3: cl100k without its rule for white space at the end.
    case llama3
    /// Qwen2 and later: Llama 3's with every digit alone.
    case qwen2
    /// SmolLM and StarCoder: every digit is split off first, then GPT-2's pattern in each part.
    case smollm

    /// Calls `body` with the scalar range of each piece, in order and without gaps.
    func forEachPiece(_ run: ScalarRun, _ body: (Range<Int>) -> Void) {
        var start = 0
        if self == .smollm {
            while start < run.count {
                if run.classes[start] & ScalarClass.number != 0 {
                    body(start..<start + 1)
                    start += 1
                    continue
                }
                let end = run.end(of: ScalarClass.number, not: true, from: start, limit: run.count)
                while start < end {
                    let next = run.gpt2Piece(from: start, limit: end)
                    body(start..<next)
                    start = next
                }
            }
            return
        }
        while start < run.count {
            let end = nextPiece(run, from: start)
            body(start..<end)
            start = end
        }
    }

    private func nextPiece(_ run: ScalarRun, from start: Int) -> Int {
        switch self {
        case .gpt2, .smollm: run.gpt2Piece(from: start, limit: run.count)
        case .cl100k: run.cl100kPiece(from: start, digits: 3, keepsFinalSpace: true)
        case .llama3: run.cl100kPiece(from: start, digits: 3, keepsFinalSpace: false)
        case .qwen2: run.cl100kPiece(from: start, digits: 1, keepsFinalSpace: false)
        case .o200k: run.o200kPiece(from: start)
        }
    }
}

extension ScalarRun {
    private static let word = ScalarClass.letter | ScalarClass.number
    private static let nonPunctuation = ScalarClass.letter | ScalarClass.number | ScalarClass.space

    /// The end of the run of scalars that have (or, with `not`, lack) any of the bits in `mask`.
    fileprivate func end(of mask: UInt8, not: Bool = false, from start: Int, limit: Int) -> Int {
        var position = start
        while position < limit, (classes[position] & mask != 0) != not { position += 1 }
        return position
    }

    /// Each of these consumes at least one scalar: the alternatives cover every character.
    fileprivate func gpt2Piece(from start: Int, limit: Int) -> Int {
        if let end = contraction(at: start, limit: limit, anyCase: false) { return end }
        let first = scalars[start] == 0x20 && start + 1 < limit ? start + 1 : start
        let kind = classes[first]
        if kind & ScalarClass.letter != 0 { return end(of: ScalarClass.letter, from: first, limit: limit) }
        if kind & ScalarClass.number != 0 { return end(of: ScalarClass.number, from: first, limit: limit) }
        if kind & ScalarClass.space == 0 {
            return end(of: ScalarRun.nonPunctuation, not: true, from: first, limit: limit)
        }
        return spacePiece(from: start, limit: limit)
    }

    fileprivate func cl100kPiece(from start: Int, digits: Int, keepsFinalSpace: Bool) -> Int {
        if let end = contraction(at: start, limit: count, anyCase: true) { return end }
        let kind = classes[start]
        if kind & ScalarClass.letter != 0 { return end(of: ScalarClass.letter, from: start, limit: count) }
        if kind & (ScalarClass.newline | ScalarClass.number) == 0, start + 1 < count,
            classes[start + 1] & ScalarClass.letter != 0
        {
            return end(of: ScalarClass.letter, from: start + 1, limit: count)
        }
        if kind & ScalarClass.number != 0 {
            return end(of: ScalarClass.number, from: start, limit: min(start + digits, count))
        }
        if let end = punctuation(from: start, slashes: false) { return end }
        let spaceEnd = end(of: ScalarClass.space, from: start, limit: count)
        if keepsFinalSpace, spaceEnd == count { return count }
        return lastNewline(from: start, limit: spaceEnd) ?? spacePiece(from: start, limit: count)
    }

    fileprivate func o200kPiece(from start: Int) -> Int {
        let kind = classes[start]
        let hasPrefix = kind & (ScalarClass.newline | ScalarRun.word) == 0
        let word =
            (hasPrefix ? lowerWord(from: start + 1) : nil) ?? lowerWord(from: start)
            ?? (hasPrefix ? upperWord(from: start + 1) : nil) ?? upperWord(from: start)
        if let word { return contraction(at: word, limit: count, anyCase: true) ?? word }
        if kind & ScalarClass.number != 0 {
            return end(of: ScalarClass.number, from: start, limit: min(start + 3, count))
        }
        if let end = punctuation(from: start, slashes: true) { return end }
        let spaceEnd = end(of: ScalarClass.space, from: start, limit: count)
        return lastNewline(from: start, limit: spaceEnd) ?? spacePiece(from: start, limit: count)
    }

    /// `[upper]*[lower]+`. The two classes overlap, so the greedy first part may have to give characters back.
    private func lowerWord(from start: Int) -> Int? {
        let upperEnd = end(of: ScalarClass.upper, from: start, limit: count)
        let lowerEnd = end(of: ScalarClass.lower, from: upperEnd, limit: count)
        if lowerEnd > upperEnd { return lowerEnd }
        var position = upperEnd - 1
        while position >= start {
            if classes[position] & ScalarClass.lower != 0 { return position + 1 }
            position -= 1
        }
        return nil
    }

    /// `[upper]+[lower]*`
    private func upperWord(from start: Int) -> Int? {
        let upperEnd = end(of: ScalarClass.upper, from: start, limit: count)
        return upperEnd > start ? end(of: ScalarClass.lower, from: upperEnd, limit: count) : nil
    }

    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, with `/` beside the line breaks for o200k.
    private func punctuation(from start: Int, slashes: Bool) -> Int? {
        let first = scalars[start] == 0x20 ? start + 1 : start
        var position = end(of: ScalarRun.nonPunctuation, not: true, from: first, limit: count)
        guard position > first else { return nil }
        while position < count, classes[position] & ScalarClass.newline != 0 || (slashes && scalars[position] == 0x2F) {
            position += 1
        }
        return position
    }

    /// `\s*[\r\n]`: up to and with the last line break of the white space.
    private func lastNewline(from start: Int, limit: Int) -> Int? {
        var position = limit - 1
        while position >= start {
            if classes[position] & ScalarClass.newline != 0 { return position + 1 }
            position -= 1
        }
        return nil
    }

    /// `\s+(?!\S)|\s+`: white space, less its last character where a word follows.
    private func spacePiece(from start: Int, limit: Int) -> Int {
        let spaceEnd = end(of: ScalarClass.space, from: start, limit: limit)
        return spaceEnd == limit || spaceEnd - start < 2 ? max(spaceEnd, start + 1) : spaceEnd - 1
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d`; in any case, `s` includes U+017F.
    private func contraction(at start: Int, limit: Int, anyCase: Bool) -> Int? {
        guard start + 1 < limit, scalars[start] == 0x27 else { return nil }
        func letter(_ position: Int) -> UInt32 {
            guard position < limit else { return 0 }
            let scalar = scalars[position]
            if anyCase, scalar == 0x17F { return 0x73 }
            return anyCase && (0x41...0x5A).contains(scalar) ? scalar | 0x20 : scalar
        }
        switch letter(start + 1) {
        case 0x73, 0x64, 0x6D, 0x74: return start + 2  // s d m t
        case 0x6C: return letter(start + 2) == 0x6C ? start + 3 : nil  // ll
        case 0x72, 0x76: return letter(start + 2) == 0x65 ? start + 3 : nil  // re, ve
        default: return nil
        }
    }
}
