// What the learner hands to a loss: the trained completions of some groups as flat arrays of tokens.

/// Tokens of trained completions in (group, completion, position) order; T tokens, S sequences.
package struct TokenBatch: Equatable, Sendable {
    /// Token range of each sequence, consecutive from 0 (S).
    package var sequences: [Range<Int>]
    /// Sequence range of each group, consecutive from 0.
    package var groups: [Range<Int>]
    /// The policy's log-probs at the start of the step (T).
    package var oldLogProbs: [Float]
    /// The frozen reference's (T); needed for a KL penalty in the loss.
    package var referenceLogProbs: [Float]?
    /// One per sequence (S).
    package var advantages: [Double]
    /// Which tokens are trained (T).
    package var mask: [Bool]

    package init(
        sequences: [Range<Int>], groups: [Range<Int>], oldLogProbs: [Float], referenceLogProbs: [Float]?,
        advantages: [Double], mask: [Bool]
    ) {
        self.sequences = sequences
        self.groups = groups
        self.oldLogProbs = oldLogProbs
        self.referenceLogProbs = referenceLogProbs
        self.advantages = advantages
        self.mask = mask
        checkInvariants()
    }

    package var tokenCount: Int { mask.count }

    /// Some of the sequences as a batch of their own, token positions counted from 0.
    package func slice(sequences kept: Range<Int>) -> TokenBatch {
        guard let first = kept.first, let last = kept.last else {
            return TokenBatch(
                sequences: [], groups: [], oldLogProbs: [], referenceLogProbs: referenceLogProbs.map { _ in [] },
                advantages: [], mask: [])
        }
        let tokens = sequences[first].lowerBound..<sequences[last].upperBound
        return TokenBatch(
            sequences: sequences[kept].map {
                ($0.lowerBound - tokens.lowerBound)..<($0.upperBound - tokens.lowerBound)
            },
            groups: groups.compactMap { group in
                let common = group.clamped(to: kept)
                return common.isEmpty ? nil : (common.lowerBound - first)..<(common.upperBound - first)
            },
            oldLogProbs: Array(oldLogProbs[tokens]), referenceLogProbs: referenceLogProbs.map { Array($0[tokens]) },
            advantages: Array(advantages[kept]), mask: Array(mask[tokens]))
    }

    private func checkInvariants() {
        var end = 0
        for sequence in sequences {
            precondition(sequence.lowerBound == end, "sequence \(sequence) does not follow token \(end)")
            end = sequence.upperBound
        }
        precondition(mask.count == end, "\(mask.count) mask entries for \(end) tokens")
        precondition(oldLogProbs.count == end, "\(oldLogProbs.count) old log-probs for \(end) tokens")
        if let referenceLogProbs {
            let count = referenceLogProbs.count
            precondition(count == end, "\(count) reference log-probs for \(end) tokens")
        }
        precondition(advantages.count == sequences.count, "\(advantages.count) of \(sequences.count) advantages")
        var groupEnd = 0
        for group in groups {
            precondition(group.lowerBound == groupEnd, "group \(group) does not follow sequence \(groupEnd)")
            groupEnd = group.upperBound
        }
        precondition(groupEnd == sequences.count, "groups hold \(groupEnd) of \(sequences.count) sequences")
    }
}
