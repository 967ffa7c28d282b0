// What one sequence's tokens are worth under an objective: losses per token and their gradients.

/// The trained tokens of one sequence (n of them), in order.
package struct SequenceView: Sendable {
    /// Under the policy being trained (n).
    package var logProbs: [Double]
    /// Under the policy at the start of the step (n).
    package var oldLogProbs: [Double]
    /// One per token (n); group methods repeat the sequence's.
    package var advantages: [Double]

    package init(logProbs: [Double], oldLogProbs: [Double], advantages: [Double]) {
        precondition(logProbs.count == oldLogProbs.count && logProbs.count == advantages.count,
            "\(logProbs.count) log-probs, \(oldLogProbs.count) old ones, \(advantages.count) advantages")
        self.logProbs = logProbs
        self.oldLogProbs = oldLogProbs
        self.advantages = advantages
    }
}

/// Losses to be minimised, before aggregation.
package struct SurrogateTerms: Equatable, Sendable {
    /// Per token (n).
    package var losses: [Double]
    /// ∂(Σ losses)/∂(log-prob of the token) (n).
    package var gradients: [Double]
    /// Per token (n): the clip decided the loss, or capped its weight.
    package var clipped: [Bool]
}

/// −min(ρA, clip(ρ)A) per token. Source: PPO, arXiv:1707.06347 eq. 7; separate bounds: DAPO, arXiv:2503.14476 §3.1.
/// The gradient is −ρA where the unclipped side is the smaller, else 0.
package func clippedSurrogate(_ sequence: SequenceView, clip: ClipRange) -> SurrogateTerms {
    perToken(sequence) { index in
        let advantage = sequence.advantages[index]
        let ratio = importanceRatio(logProb: sequence.logProbs[index], oldLogProb: sequence.oldLogProbs[index])
        return clippedTerm(ratio: ratio, advantage: advantage, clip: clip)
    }
}

/// −min(sA, clip(s)A), the same for all tokens, with s the geometric mean of the sequence's ratios.
/// Source: GSPO, arXiv:2507.18071 eq. 5 and 7. Aggregate with `sequence_mean`; its clip range is about a thousandth of
/// a token's (the paper's is 3e-4 and 4e-4).
package func sequenceClippedSurrogate(_ sequence: SequenceView, clip: ClipRange) -> SurrogateTerms {
    guard !sequence.logProbs.isEmpty else { return SurrogateTerms(losses: [], gradients: [], clipped: []) }
    let ratio = sequenceImportanceRatio(logProbs: sequence.logProbs, oldLogProbs: sequence.oldLogProbs)
    // Each of n equal losses has 1/n of the mean's slope in each of n tokens: the two n cancel in the sum.
    return perToken(sequence) { index in
        clippedTerm(ratio: ratio, advantage: sequence.advantages[index], clip: clip)
    }
}

/// −sg(clip(ρ))·A·ℓ: every token keeps a gradient, only its weight is clipped; sg lets no gradient through.
/// Source: CISPO (MiniMax-M1), arXiv:2506.13585 eq. 4. The paper has no lower bound: `clip.low` of 1 or more.
package func cappedWeightSurrogate(_ sequence: SequenceView, clip: ClipRange) -> SurrogateTerms {
    perToken(sequence) { index in
        let ratio = importanceRatio(logProb: sequence.logProbs[index], oldLogProb: sequence.oldLogProbs[index]).value
        let weight = clip.clip(ratio)
        let slope = -weight * sequence.advantages[index]
        return (slope * sequence.logProbs[index], slope, weight != ratio)
    }
}

/// −A·ℓ: the plain policy gradient; the clip range has no part in it. Source: Williams 1992; as used by RLOO,
/// arXiv:2402.14740 §4.
package func policyGradientSurrogate(_ sequence: SequenceView, clip: ClipRange) -> SurrogateTerms {
    perToken(sequence) { index in
        let slope = -sequence.advantages[index]
        return (slope * sequence.logProbs[index], slope, false)
    }
}

private func clippedTerm(
    ratio: ImportanceRatio, advantage: Double, clip: ClipRange
) -> (loss: Double, gradient: Double, clipped: Bool) {
    let unclipped = ratio.value * advantage
    let clipped = clip.clip(ratio.value) * advantage
    return clipped < unclipped ? (-clipped, 0, true) : (-unclipped, -ratio.derivative * advantage, false)
}

private func perToken(
    _ sequence: SequenceView, _ term: (Int) -> (loss: Double, gradient: Double, clipped: Bool)
) -> SurrogateTerms {
    var terms = SurrogateTerms(losses: [], gradients: [], clipped: [])
    for index in sequence.logProbs.indices {
        let (loss, gradient, clipped) = term(index)
        terms.losses.append(loss)
        terms.gradients.append(gradient)
        terms.clipped.append(clipped)
    }
    return terms
}
