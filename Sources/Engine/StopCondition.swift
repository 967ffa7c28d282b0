// When a completion ends: end tokens, stop strings, and the limit of tokens.
import Rollouts

/// Watches one completion grow.
///
/// Stop strings are matched on bytes, across token boundaries, as if the bytes came one at a time: the match that is
/// complete first ends the completion, and of those complete at the same byte the longest. So where a text ends does
/// not depend on how it was cut into tokens. Only sampled bytes count, never the prompt's.
package struct StopCondition {
    /// Most tokens of the completion, at least 1.
    let tokenLimit: Int
    private let endTokens: [Int32]
    /// UTF-8, none empty.
    private let stopStrings: [[UInt8]]
    private var tokenCount = 0
    /// The text so far: the bytes of the sampled tokens, without an end token and without the stop string and what
    /// followed it in its last token. May end inside a UTF-8 character where the limit cut it.
    private(set) var textBytes: [UInt8] = []

    init(endTokens: [Int32], stopStrings: [String], tokenLimit: Int) {
        precondition(tokenLimit >= 1, "StopCondition: limit of \(tokenLimit) tokens")
        self.endTokens = endTokens
        self.stopStrings = stopStrings.map { Array($0.utf8) }
        self.tokenLimit = tokenLimit
        precondition(!self.stopStrings.contains([]), "StopCondition: empty stop string")
    }

    /// Takes the next token in; the completion ends with it when the result is not nil.
    mutating func append(_ token: Int32, bytes: @autoclosure () -> [UInt8]) -> FinishReason? {
        tokenCount += 1
        if endTokens.contains(token) { return .stop }
        let oldCount = textBytes.count
        textBytes += bytes()
        if let start = firstMatch(endingAfter: oldCount) {
            textBytes.removeSubrange(start...)
            return .stop
        }
        return tokenCount >= tokenLimit ? .length : nil
    }

    /// Where the first stop string complete after byte `count` begins.
    private func firstMatch(endingAfter count: Int) -> Int? {
        guard !stopStrings.isEmpty, count < textBytes.count else { return nil }
        for end in count + 1...textBytes.count {
            let starts = stopStrings.compactMap { stop -> Int? in
                let start = end - stop.count
                return start >= 0 && textBytes[start..<end].elementsEqual(stop) ? start : nil
            }
            if let earliest = starts.min() { return earliest }
        }
        return nil
    }
}
