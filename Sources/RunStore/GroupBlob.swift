// How a group's completions and verdicts become one value each: little-endian, with checksums, because SQLite does not
// notice a flipped bit.

import Foundation
import Rollouts

/// One completion after the other: index, finish, bytes of text, tokens, runs of versions (4 bytes each); the text;
/// tokens, sampled log-probs, policy log-probs, entropies (4 bytes a token each); runs of (version, count), 8 bytes
/// each; checksum (8). A compacted group's completions have no tokens and no runs.
///
/// Verdicts: one after the other, outcome and bytes of reason (4 each), score (8), the reason; at the end the checksum
/// of all (8).
enum GroupBlob {
    static func bytes(_ completions: [Completion], isCompacted: Bool = false) -> Data {
        var writer = Writer(
            reserving: completions.reduce(0) { $0 + $1.text.utf8.count + 16 * $1.tokens.count + 64 })
        for completion in completions {
            let start = writer.bytes.count
            let runs = isCompacted ? [] : TokenBlob.runs(completion.versions)
            writer.append(UInt32(completion.index))
            writer.append(UInt32(completion.finish.rawValue))
            writer.append(UInt32(completion.text.utf8.count))
            writer.append(isCompacted ? 0 : UInt32(completion.tokens.count))
            writer.append(UInt32(runs.count / 2))
            writer.append(completion.text)
            if !isCompacted {
                writer.append(completion.tokens)
                writer.append(completion.sampledLogProbs)
                writer.append(completion.policyLogProbs)
                writer.append(completion.entropies)
                writer.append(runs)
            }
            writer.append(writer.checksum(from: start))
        }
        return Data(writer.bytes)
    }

    /// - Returns: those before the first that does not verify, and whether there is one.
    static func completions(_ bytes: [UInt8]) -> (whole: [Completion], isDamaged: Bool) {
        var completions: [Completion] = []
        var reader = Reader(bytes: bytes)
        while !reader.isAtEnd {
            let start = reader.position
            guard let index = reader.word(), let finish = reader.word(), let textCount = reader.word(),
                let tokenCount = reader.word(), let runCount = reader.word(), let text = reader.text(textCount),
                let tokens = reader.array(tokenCount, of: Int32.self),
                let sampled = reader.floats(tokenCount), let policy = reader.floats(tokenCount),
                let entropies = reader.floats(tokenCount),
                let runs = reader.array(2 * runCount, of: UInt64.self),
                let versions = TokenBlob.versions(runs, limit: tokenCount), versions.count == tokenCount,
                let byte = UInt8(exactly: finish), let reason = FinishReason(rawValue: byte),
                reader.verifies(from: start)
            else { return (completions, true) }
            completions.append(
                Completion(
                    index: index, tokens: tokens, sampledLogProbs: sampled, policyLogProbs: policy,
                    entropies: entropies, versions: versions, text: text, finish: reason))
        }
        return (completions, false)
    }

    static func bytes(_ verdicts: [Verdict]) -> Data {
        var writer = Writer(reserving: verdicts.reduce(8) { $0 + $1.reason.utf8.count + 16 })
        for verdict in verdicts {
            writer.append(UInt32(verdict.outcome.rawValue))
            writer.append(UInt32(verdict.reason.utf8.count))
            writer.append(verdict.score.bitPattern)
            writer.append(verdict.reason)
        }
        writer.append(writer.checksum(from: 0))
        return Data(writer.bytes)
    }

    /// - Returns: nil when they do not verify.
    static func verdicts(_ bytes: [UInt8]) -> [Verdict]? {
        var verdicts: [Verdict] = []
        var reader = Reader(bytes: bytes)
        while bytes.count - reader.position > 8 {
            guard let outcome = reader.word(), let reasonCount = reader.word(), let score = reader.double(),
                let reason = reader.text(reasonCount), let byte = UInt8(exactly: outcome),
                let word = Verdict.Outcome(rawValue: byte)
            else { return nil }
            verdicts.append(Verdict(word, score: score, reason: reason))
        }
        return reader.verifies(from: 0) && reader.isAtEnd ? verdicts : nil
    }

    private struct Writer {
        private(set) var bytes: [UInt8] = []

        init(reserving count: Int) { bytes.reserveCapacity(count) }

        mutating func append<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }
        /// One copy where the machine has the file's byte order, which all supported ones have.
        mutating func append<Value: FixedWidthInteger & BitwiseCopyable>(_ values: [Value]) {
            if 1.littleEndian == 1 {
                values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            } else {
                for value in values { append(value) }
            }
        }
        mutating func append(_ values: [Float]) {
            if 1.littleEndian == 1 {
                values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            } else {
                append(values.map(\.bitPattern))
            }
        }
        func checksum(from start: Int) -> UInt64 { bytes.withUnsafeBytes { TokenBlob.checksum($0[start...]) } }
    }

    private struct Reader {
        let bytes: [UInt8]
        private(set) var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { position == bytes.count }

        /// What a damaged length says must not make a huge array.
        private mutating func take(_ count: Int) -> Range<Int>? {
            guard count <= bytes.count - position else { return nil }
            defer { position += count }
            return position..<(position + count)
        }
        mutating func array<Value: FixedWidthInteger & BitwiseCopyable>(_ count: Int, of type: Value.Type) -> [Value]? {
            let size = MemoryLayout<Value>.size
            guard let range = take(count * size) else { return nil }
            return bytes.withUnsafeBytes { TokenBlob.integers($0[range], as: type) }
        }
        mutating func floats(_ count: Int) -> [Float]? {
            array(count, of: UInt32.self)?.map { Float(bitPattern: $0) }
        }
        mutating func word() -> Int? { array(1, of: UInt32.self).map { Int($0[0]) } }
        mutating func double() -> Double? { array(1, of: UInt64.self).map { Double(bitPattern: $0[0]) } }
        mutating func text(_ count: Int) -> String? {
            take(count).flatMap { String(validating: bytes[$0], as: UTF8.self) }
        }
        mutating func verifies(from start: Int) -> Bool {
            let end = position
            guard let found = array(1, of: UInt64.self)?[0] else { return false }
            return bytes.withUnsafeBytes { TokenBlob.checksum($0[start..<end]) } == found
        }
    }
}
