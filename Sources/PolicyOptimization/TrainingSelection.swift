// Which completions of a group train, and with which advantage.

import Rollouts

/// A completion that trains.
package struct TrainedCompletion: Equatable, Sendable {
    /// Its place in the group.
    package var index: Int
    package var advantage: Double

    package init(index: Int, advantage: Double) {
        self.index = index
        self.advantage = advantage
    }
}

/// Shapes a group's rewards, takes advantages and leaves out what must not train.
///
/// In this order: reward + overlong penalty − coefficient · KL (where the recipe puts it in the reward), then
/// advantages over the completions with a verdict, then truncated completions are left out where they are masked.
/// - Parameters:
///   - tokenLimit: the rollout's limit of new tokens.
///   - referenceKL: one per completion: Σ (ℓ − ℓ_ref) over its tokens (see `summedReferenceKL`). Needed when
///     `klPlacement` is `reward` and the coefficient is not 0.
/// - Returns: in index order; empty for a group with fewer than two verdicts.
package func trainedCompletions(
    of group: CompletionGroup, options: AlgorithmOptions, tokenLimit: Int, referenceKL: [Double]? = nil
) -> [TrainedCompletion] {
    precondition(
        group.completions.count == group.rewards.count && group.completions.count == group.verdicts.count,
        "\(group.completions.count) completions, \(group.rewards.count) rewards, \(group.verdicts.count) verdicts")
    var rewards = group.rewards
    for (index, completion) in group.completions.enumerated() {
        rewards[index] += options.overlongReward(
            tokenCount: completion.tokens.count, finish: completion.finish, tokenLimit: tokenLimit)
    }
    if options.klPlacement == .reward && options.klCoefficient != 0 {
        guard let referenceKL, referenceKL.count == rewards.count else {
            preconditionFailure("a KL penalty in the reward needs one KL per completion")
        }
        for index in rewards.indices { rewards[index] -= options.klCoefficient * referenceKL[index] }
    }
    let advantages = groupAdvantages(
        rewards: rewards, hasVerdict: group.verdicts.map { $0.outcome != .noVerdict },
        normalisation: options.advantageNormalisation)
    return group.completions.indices.compactMap { index in
        let completion = group.completions[index]
        guard let advantage = advantages[index], !completion.tokens.isEmpty,
            options.trains(finish: completion.finish)
        else { return nil }
        return TrainedCompletion(index: index, advantage: advantage)
    }
}
