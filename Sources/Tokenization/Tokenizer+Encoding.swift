// How does text become ids? Markers are cut out, the rest is cut into pieces, and each piece is merged.
import Foundation

extension Tokenizer {
    /// - Parameter specials: whether control markers written in the text become their tokens. Words that a vocabulary
    ///   adds without calling them special (`<think>` in Qwen3) are recognised either way, as everywhere else.
    package func encode(_ text: String, specials: Bool) -> [Int32] {
        var text = text
        return text.withUTF8 { encode($0, specials: specials, isProtected: []) }
    }

    /// - Parameter isProtected: one flag for each byte, or empty. Text with a protected byte is never a control marker.
    func encode(_ text: UnsafeBufferPointer<UInt8>, specials: Bool, isProtected: [Bool]) -> [Int32] {
        precondition(isProtected.isEmpty || isProtected.count == text.count, "one flag a byte")
        var encoder = TextEncoder(core, textBytes: text.count)
        var start = 0
        var position = 0
        while position < text.count {
            if core.markers.mayStart(text[position]),
                let marker = core.markers.match(text, at: position, specials: specials, isProtected: isProtected)
            {
                encoder.append(UnsafeBufferPointer(rebasing: text[start..<position]))
                encoder.output.append(marker.id)
                position += marker.length
                start = position
            } else {
                position += 1
            }
        }
        encoder.append(UnsafeBufferPointer(rebasing: text[start...]))
        return encoder.output
    }
}

/// Encodes stretches of text without markers, one after the other.
private struct TextEncoder {
    /// A piece seen before and where its tokens stand in the output.
    private struct Seen {
        var stretch = 0
        var hash = 0
        var start = 0
        var length = 0
        var outputStart = 0
        var outputCount = 0
    }

    private let core: Tokenizer.Core
    private var merger = PieceMerger()
    private var symbols: [Int32] = []
    /// Direct-mapped by the piece's hash; words repeat a lot. Entries hold for the stretch of text they are from.
    private var seen: [Seen]
    private var stretch = 0
    var output: [Int32] = []

    init(_ core: Tokenizer.Core, textBytes: Int) {
        self.core = core
        var capacity = 16
        while capacity < 16384, capacity * 16 < textBytes { capacity *= 2 }
        seen = Array(repeating: Seen(), count: capacity)
        output.reserveCapacity(textBytes / 3 + 8)
    }

    mutating func append(_ text: UnsafeBufferPointer<UInt8>) {
        guard !text.isEmpty else { return }
        guard core.settings.composesCharacters, text.contains(where: { $0 >= 0x80 }) else {
            return appendComposed(text)
        }
        var composed = String(decoding: text, as: UTF8.self).precomposedStringWithCanonicalMapping
        composed.withUTF8 { appendComposed($0) }
    }

    private mutating func appendComposed(_ text: UnsafeBufferPointer<UInt8>) {
        stretch += 1
        let run = ScalarRun(text)
        core.settings.preTokenizer.forEachPiece(run) { piece in
            appendPiece(text, run.offsets[piece.lowerBound]..<run.offsets[piece.upperBound])
        }
    }

    private mutating func appendPiece(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) {
        let piece = UnsafeBufferPointer(rebasing: text[range])
        let hash = Vocabulary.hash(piece)
        let slot = hash & (seen.count - 1)
        let known = seen[slot]
        if known.stretch == stretch, known.hash == hash, known.length == piece.count,
            piece.elementsEqual(UnsafeBufferPointer(rebasing: text[known.start..<known.start + known.length]))
        {
            for index in known.outputStart..<known.outputStart + known.outputCount { output.append(output[index]) }
            return
        }
        let outputStart = output.count
        merge(piece)
        seen[slot] = Seen(
            stretch: stretch, hash: hash, start: range.lowerBound, length: piece.count, outputStart: outputStart,
            outputCount: output.count - outputStart)
    }

    private mutating func merge(_ piece: UnsafeBufferPointer<UInt8>) {
        if core.settings.prefersWholePieces, let id = core.vocabulary.id(of: piece),
            core.vocabulary.kind(of: id) == .ordinary
        {
            output.append(id)
            return
        }
        symbols.removeAll(keepingCapacity: true)
        var afterMissing = false
        for byte in piece {
            let id = core.byteIDs[Int(byte)]
            if id >= 0 {
                symbols.append(id)
            } else if case .replaced(let unknown, let fused) = core.settings.missingByte, !(fused && afterMissing) {
                symbols.append(unknown)
            }
            afterMissing = id < 0
        }
        merger.merge(symbols, core.merges, into: &output)
    }
}
