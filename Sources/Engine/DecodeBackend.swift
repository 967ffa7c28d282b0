// What a generator needs of a model: prompts computed once, then many sequences continued together, token by token.

package struct PrefixIdentifier: Hashable, Sendable {
    package var rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

package struct SequenceIdentifier: Hashable, Sendable {
    package var rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

/// Dimensions: n sequences in a call, V vocabulary size. Token ids must be in 0..<V, and a sequence with its prefix
/// must fit `contextTokens`: both are preconditions, checked by the caller at the edge.
package protocol DecodeBackend: AnyObject {
    var vocabularySize: Int { get }
    var contextTokens: Int { get }
    /// Computes a prompt once; `logits` (V) receives the row after its last token. The prefix lives until released.
    func prefill(_ tokens: [Int32], logits: UnsafeMutableBufferPointer<Float>) -> PrefixIdentifier
    /// The same of several prompts, together where that is faster; `logits` (n, V) receives their rows in order.
    func prefill(_ prompts: [[Int32]], logits: UnsafeMutableBufferPointer<Float>) -> [PrefixIdentifier]
    func makeSequence(prefix: PrefixIdentifier, reserve tokens: Int) -> SequenceIdentifier
    func releasePrefix(_ prefix: PrefixIdentifier)
    func releaseSequence(_ sequence: SequenceIdentifier)
    /// Appends tokens[i] to sequences[i]; `logits` (n, V) receives the next rows. One batched forward for all.
    func decode(_ tokens: [Int32], sequences: [SequenceIdentifier], logits: UnsafeMutableBufferPointer<Float>)
}

extension DecodeBackend {
    package func prefill(
        _ prompts: [[Int32]], logits: UnsafeMutableBufferPointer<Float>
    ) -> [PrefixIdentifier] {
        prompts.enumerated().map { index, tokens in
            let row = index * vocabularySize
            return prefill(tokens, logits: UnsafeMutableBufferPointer(rebasing: logits[row..<row + vocabularySize]))
        }
    }
}
