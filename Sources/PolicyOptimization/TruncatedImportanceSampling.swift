// What a token's loss is multiplied by when the sampler's log-probs differ from the trainer's.

/// Truncated importance weights min(exp(ℓ_old − μ), cap), one per token; no gradient flows through them.
/// Source: "Your efficient RL framework secretly brings you off-policy RL training" (Yao et al., 2025).
/// - Parameters:
///   - oldLogProbs: the trainer's log-probs before the update.
///   - samplerLogProbs: those of the engine that sampled, same count.
package func truncatedImportanceWeights(
    oldLogProbs: [Double], samplerLogProbs: [Double], cap: Double
) -> [Double] {
    precondition(oldLogProbs.count == samplerLogProbs.count,
        "\(oldLogProbs.count) log-probs for \(samplerLogProbs.count) of the sampler")
    return zip(oldLogProbs, samplerLogProbs).map { old, sampler in
        min(importanceRatio(logProb: old, oldLogProb: sampler).value, cap)
    }
}
