// How much better than its group each completion was.

import Rollouts

/// Advantages of one group's completions under a recipe's normalisation.
///
/// Completions without a verdict are left out: they neither train nor count in the mean or the spread, exactly as if
/// they had never been sampled. A reward that is not finite counts as no verdict.
/// - Parameters:
///   - rewards: one per completion of one group.
///   - hasVerdict: one per completion, same order.
/// - Returns: same order; nil for completions that do not train. With fewer than two verdicts all are nil. All zero
///   when all rewards are equal, so such a group teaches nothing.
package func groupAdvantages(
    rewards: [Double], hasVerdict: [Bool], normalisation: AlgorithmOptions.AdvantageNormalisation
) -> [Double?] {
    let judged = judgedCompletions(rewards: rewards, hasVerdict: hasVerdict)
    var advantages = [Double?](repeating: nil, count: rewards.count)
    guard judged.count >= 2 else { return advantages }
    let judgedRewards = judged.map { rewards[$0] }
    let values =
        switch normalisation {
        case .groupStd: standardizedAdvantages(judgedRewards)
        case .none: meanCenteredAdvantages(judgedRewards)
        case .leaveOneOut: leaveOneOutAdvantages(judgedRewards)
        }
    for (place, completion) in judged.enumerated() { advantages[completion] = values[place] }
    return advantages
}

/// Whether a group can teach anything: at least two verdicts whose rewards differ.
/// Asked of unshaped rewards by dynamic sampling. Source: DAPO, arXiv:2503.14476 §3.2.
package func groupHasSpread(rewards: [Double], hasVerdict: [Bool]) -> Bool {
    let judged = judgedCompletions(rewards: rewards, hasVerdict: hasVerdict)
    guard let first = judged.first else { return false }
    return judged.contains { rewards[$0] != rewards[first] }
}

/// How the spread of a group is estimated.
package enum SpreadEstimate: Sendable {
    /// Divides by the number of rewards.
    case population
    /// Divides by one less (Bessel's correction), as several trainers do.
    case sample
}

/// Reward minus the group's mean, over its standard deviation plus `epsilon`.
/// Source: GRPO, arXiv:2402.03300 §4.1.2.
/// - Parameter rewards: of one group, at least two.
package func standardizedAdvantages(
    _ rewards: [Double], epsilon: Double = 1e-6, spread: SpreadEstimate = .population
) -> [Double] {
    let centered = meanCenteredAdvantages(rewards)
    let divisor = spread == .population ? rewards.count : rewards.count - 1
    let variance = centered.reduce(0) { $0 + $1 * $1 } / Double(divisor)
    let scale = variance.squareRoot() + epsilon
    return centered.map { $0 / scale }
}

/// Reward minus the group's mean. Source: Dr. GRPO, arXiv:2503.20783 §3.2.
/// - Parameter rewards: of one group, at least two.
package func meanCenteredAdvantages(_ rewards: [Double]) -> [Double] {
    precondition(rewards.count >= 2, "an advantage needs at least two rewards, found \(rewards.count)")
    // The mean of equal numbers may differ from them in the last bit, and dividing by epsilon would magnify that.
    guard rewards.contains(where: { $0 != rewards[0] }) else { return [Double](repeating: 0, count: rewards.count) }
    let mean = rewards.reduce(0, +) / Double(rewards.count)
    return rewards.map { $0 - mean }
}

/// Reward minus the mean of the others. Source: RLOO, arXiv:2402.14740 §4.2.
/// - Parameter rewards: of one group, at least two.
package func leaveOneOutAdvantages(_ rewards: [Double]) -> [Double] {
    precondition(rewards.count >= 2, "an advantage needs at least two rewards, found \(rewards.count)")
    guard rewards.contains(where: { $0 != rewards[0] }) else { return [Double](repeating: 0, count: rewards.count) }
    let sum = rewards.reduce(0, +)
    return rewards.map { $0 - (sum - $0) / Double(rewards.count - 1) }
}

/// Reward minus the mean of all rewards of the batch, whatever their groups: REINFORCE with a batch baseline.
package func batchMeanAdvantages(_ rewards: [Double]) -> [Double] {
    guard !rewards.isEmpty else { return [] }
    let mean = rewards.reduce(0, +) / Double(rewards.count)
    return rewards.map { $0 - mean }
}

private func judgedCompletions(rewards: [Double], hasVerdict: [Bool]) -> [Int] {
    precondition(rewards.count == hasVerdict.count, "\(rewards.count) rewards for \(hasVerdict.count) verdicts")
    return rewards.indices.filter { hasVerdict[$0] && rewards[$0].isFinite }
}
