// The control experiment: rewards that say nothing.

import Rollouts

/// The group's rewards in an order that depends on the key alone; what `verifier.shuffle` asks for. Only completions
/// with a verdict trade rewards, so the group keeps its mean and spread while no reward belongs to its completion.
package func shuffledRewards(_ rewards: [Double], hasVerdict: [Bool], seed: UInt64, group: GroupKey) -> [Double] {
    precondition(rewards.count == hasVerdict.count, "\(rewards.count) rewards for \(hasVerdict.count) verdicts")
    precondition(group.step < 1 << 30 && group.ordinal < 1 << 24, "group key out of range: \(group)")
    let place = UInt64(group.step) | UInt64(group.ordinal) << 30
    let judged = rewards.indices.filter { hasVerdict[$0] }
    let order = KeyedRandom.permutation(count: judged.count, seed: seed, use: .rewardShuffling, place)
    var shuffled = rewards
    for (target, source) in zip(judged, order) { shuffled[target] = rewards[judged[source]] }
    return shuffled
}
