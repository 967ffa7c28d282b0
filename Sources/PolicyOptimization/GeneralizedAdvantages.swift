// Advantages per token from rewards and a learned value function.

/// Token rewards with a KL penalty: −coefficient · (ℓ_old − ℓ_ref) on every trained token, plus the completion's reward
/// on the last of them. Source: InstructGPT, arXiv:2203.02155 §3.5.
package func tokenRewards(
    finalReward: Double, oldLogProbs: [Double], referenceLogProbs: [Double], klCoefficient: Double, mask: [Bool]
) -> [Double] {
    precondition(oldLogProbs.count == mask.count && referenceLogProbs.count == mask.count,
        "\(oldLogProbs.count) log-probs, \(referenceLogProbs.count) of the reference, \(mask.count) mask entries")
    var rewards = mask.indices.map { token in
        mask[token] ? -klCoefficient * (oldLogProbs[token] - referenceLogProbs[token]) : 0
    }
    if let last = mask.lastIndex(of: true) { rewards[last] += finalReward }
    return rewards
}

/// δ_t = r_t + γ·V_{t+1} − V_t and A_t = δ_t + γλ·A_{t+1}, with V = 0 after the last token; returns are A + V.
/// Tokens that are not trained carry V and A through unchanged and get 0.
/// Source: GAE, arXiv:1506.02438 eq. 16.
package func generalizedAdvantages(
    rewards: [Double], values: [Double], mask: [Bool], gamma: Double, lambda: Double
) -> (advantages: [Double], returns: [Double]) {
    precondition(rewards.count == mask.count && values.count == mask.count,
        "\(rewards.count) rewards, \(values.count) values, \(mask.count) mask entries")
    var advantages = [Double](repeating: 0, count: mask.count)
    var returns = advantages
    var nextValue = 0.0
    var running = 0.0
    for token in mask.indices.reversed() where mask[token] {
        let delta = rewards[token] + gamma * nextValue - values[token]
        running = delta + gamma * lambda * running
        nextValue = values[token]
        advantages[token] = running
        returns[token] = running + values[token]
    }
    return (advantages, returns)
}

/// (x − mean) / √(variance + ε) over all trained tokens of a batch, population variance.
package func whitened(_ values: [Double], epsilon: Double = 1e-8) -> [Double] {
    guard !values.isEmpty else { return [] }
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    let scale = (variance + epsilon).squareRoot()
    return values.map { ($0 - mean) / scale }
}
