// Advantages by hand, and what completions without a verdict do to them: nothing.

import PolicyOptimization
import Rollouts
import Testing

private let normalisations = AlgorithmOptions.AdvantageNormalisation.allCases

@Test func `hand numbers for every normalisation`() {
    let rewards = [1.0, 0, 0, 1]
    let judged = [true, true, true, true]
    // Mean 0.5, population standard deviation 0.5.
    let standardized = groupAdvantages(rewards: rewards, hasVerdict: judged, normalisation: .groupStd)
    let expected = 0.5 / 0.500001
    #expect(standardized == [expected, -expected, -expected, expected])
    #expect(groupAdvantages(rewards: rewards, hasVerdict: judged, normalisation: .none) == [0.5, -0.5, -0.5, 0.5])
    // The others of a 1 have mean 1/3, those of a 0 have 2/3.
    let others = groupAdvantages(rewards: rewards, hasVerdict: judged, normalisation: .leaveOneOut)
    #expect(worstDifference(others.map { $0! }, [2.0 / 3, -2.0 / 3, -2.0 / 3, 2.0 / 3]) < 1e-15)
}

@Test(arguments: normalisations)
func `a group without spread teaches nothing`(normalisation: AlgorithmOptions.AdvantageNormalisation) {
    // Seven times 0.1 has a mean that is not 0.1 in binary.
    let rewards = [Double](repeating: 0.1, count: 7)
    let advantages = groupAdvantages(
        rewards: rewards, hasVerdict: [Bool](repeating: true, count: 7), normalisation: normalisation)
    #expect(advantages == [Double?](repeating: 0, count: 7))
    #expect(!groupHasSpread(rewards: rewards, hasVerdict: [Bool](repeating: true, count: 7)))
}

@Test(arguments: normalisations)
func `a completion without a verdict equals its absence`(normalisation: AlgorithmOptions.AdvantageNormalisation) {
    for trial in 0..<200 {
        let count = 2 + trial % 7
        let rewards = (0..<count).map { KeyedRandom.uniform(seed: 3, use: .jitter, UInt64(trial), UInt64($0)) }
        let judged = (0..<count).map { KeyedRandom.bits(seed: 4, use: .jitter, UInt64(trial), UInt64($0)) % 3 != 0 }
        let kept = rewards.indices.filter { judged[$0] }
        let whole = groupAdvantages(rewards: rewards, hasVerdict: judged, normalisation: normalisation)
        let alone = groupAdvantages(
            rewards: kept.map { rewards[$0] }, hasVerdict: kept.map { _ in true }, normalisation: normalisation)
        #expect(kept.map { whole[$0] } == alone)
        #expect(rewards.indices.filter { !judged[$0] }.allSatisfy { whole[$0] == nil })
    }
}

@Test(arguments: normalisations)
func `the reward of a completion without a verdict changes nothing`(
    normalisation: AlgorithmOptions.AdvantageNormalisation
) {
    let judged = [true, false, true]
    let one = groupAdvantages(rewards: [1, 0, 0], hasVerdict: judged, normalisation: normalisation)
    let other = groupAdvantages(rewards: [1, .nan, 0], hasVerdict: judged, normalisation: normalisation)
    #expect(one == other)
    #expect(one[0]! > 0 && one[1] == nil && one[2]! < 0)
}

@Test(arguments: normalisations)
func `a group with fewer than two verdicts trains nothing`(normalisation: AlgorithmOptions.AdvantageNormalisation) {
    #expect(groupAdvantages(rewards: [], hasVerdict: [], normalisation: normalisation) == [])
    #expect(
        groupAdvantages(rewards: [1, 0], hasVerdict: [true, false], normalisation: normalisation) == [nil, nil])
    #expect(!groupHasSpread(rewards: [1, 0], hasVerdict: [true, false]))
}

@Test func `a reward that is not finite counts as no verdict`() {
    let advantages = groupAdvantages(
        rewards: [1, .infinity, 0, .nan], hasVerdict: [true, true, true, true], normalisation: .none)
    #expect(advantages == [0.5, nil, -0.5, nil])
}

@Test func `spread is asked of verdicts alone`() {
    #expect(groupHasSpread(rewards: [1, 0], hasVerdict: [true, true]))
    #expect(!groupHasSpread(rewards: [1, 0, 1], hasVerdict: [true, false, true]))
    #expect(!groupHasSpread(rewards: [], hasVerdict: []))
}

@Test func `generalized advantages by hand, untrained tokens carried through`() {
    // γ = 0.5, λ = 0.5. Last: δ = 1 − 0.25 = 0.75. First: δ = 0 + 0.5·0.25 − 0.5 = −0.375; A = −0.375 + 0.25·0.75.
    let result = generalizedAdvantages(
        rewards: [0, 9, 1], values: [0.5, 9, 0.25], mask: [true, false, true], gamma: 0.5, lambda: 0.5)
    #expect(result.advantages == [-0.1875, 0, 0.75])
    #expect(result.returns == [0.3125, 0, 1])
    #expect(
        tokenRewards(
            finalReward: 2, oldLogProbs: [-1, -1, -1], referenceLogProbs: [-2, -1, -1.5], klCoefficient: 0.5,
            mask: [true, true, false]) == [-0.5, 2, 0])
}
