// Which completions train, how rewards are shaped, and how groups share passes.

import PolicyOptimization
import Rollouts
import Testing

private func group(
    rewards: [Double], tokenCounts: [Int], finishes: [FinishReason], judged: [Bool]? = nil
) -> CompletionGroup {
    let completions = tokenCounts.indices.map { index in
        let count = tokenCounts[index]
        let numbers = [Float](repeating: -1, count: count)
        return Completion(
            index: index, tokens: [Int32](repeating: 5, count: count), sampledLogProbs: numbers,
            policyLogProbs: numbers, entropies: numbers,
            versions: [PolicyVersion](repeating: .base, count: count), text: "x",
            finish: finishes[index])
    }
    return CompletionGroup(
        prompt: Prompt(
            key: GroupKey(purpose: .training, step: 1, ordinal: 0), tokens: [1], text: "?", answer: "!",
            source: "test"),
        completions: completions,
        verdicts: rewards.indices.map { judged?[$0] == false ? .noVerdict("crashed") : .right("so") }, rewards: rewards)
}

private func options(_ change: (inout AlgorithmOptions) -> Void) -> AlgorithmOptions {
    var options = AlgorithmOptions()
    options.advantageNormalisation = .none
    change(&options)
    return options
}

@Test func `kept truncated completions train like any other`() {
    let group = group(rewards: [1, 0], tokenCounts: [3, 8], finishes: [.stop, .length])
    let trained = trainedCompletions(of: group, options: options { _ in }, tokenLimit: 8)
    #expect(trained == [TrainedCompletion(index: 0, advantage: 0.5), TrainedCompletion(index: 1, advantage: -0.5)])
}

@Test func `masked truncated completions count in the mean but do not train`() {
    let group = group(rewards: [1, 0], tokenCounts: [3, 8], finishes: [.stop, .length])
    let trained = trainedCompletions(of: group, options: options { $0.overlong = .mask }, tokenLimit: 8)
    #expect(trained == [TrainedCompletion(index: 0, advantage: 0.5)])
}

@Test func `the overlong penalty falls over the buffer and truncation pays in full`() {
    let soft = options {
        $0.overlong = .penalty
        $0.overlongBuffer = 4
        $0.overlongFactor = 0.5
    }
    func reward(_ count: Int, _ finish: FinishReason) -> Double {
        soft.overlongReward(tokenCount: count, finish: finish, tokenLimit: 10)
    }
    #expect(reward(6, .stop) == 0)
    #expect(reward(7, .stop) == -0.125)
    #expect(reward(10, .stop) == -0.5)
    #expect(reward(10, .length) == -0.5)
    // Cut by the context before the limit of new tokens.
    #expect(reward(5, .length) == -0.5)
    #expect(options { _ in }.overlongReward(tokenCount: 10, finish: .length, tokenLimit: 10) == 0)
    // Without a buffer only what is beyond the limit pays; equal to the limit does not.
    #expect(overlongPenalty(tokenCount: 10, tokenLimit: 10, buffer: 0, factor: 1) == 0)
    #expect(overlongPenalty(tokenCount: 11, tokenLimit: 10, buffer: 0, factor: 1) == -1)

    let group = group(rewards: [1, 1], tokenCounts: [2, 10], finishes: [.stop, .length])
    let trained = trainedCompletions(of: group, options: soft, tokenLimit: 10)
    #expect(trained.map(\.advantage) == [0.25, -0.25])
}

@Test func `KL in the reward is subtracted before advantages are taken`() {
    let group = group(rewards: [1, 1], tokenCounts: [2, 2], finishes: [.stop, .stop])
    let shaped = options {
        $0.klCoefficient = 0.5
        $0.klPlacement = .reward
    }
    let trained = trainedCompletions(of: group, options: shaped, tokenLimit: 8, referenceKL: [0, 2])
    #expect(trained.map(\.advantage) == [0.5, -0.5])
    #expect(summedReferenceKL(logProbs: [-1, -2], referenceLogProbs: [-1.5, -2.25]) == 0.75)
    // In the loss it leaves the reward alone.
    let inLoss = options { $0.klCoefficient = 0.5 }
    #expect(trainedCompletions(of: group, options: inLoss, tokenLimit: 8).map(\.advantage) == [0, 0])
}

@Test func `completions without a verdict or without tokens do not train`() {
    let judged = group(
        rewards: [1, 0, 0, 1], tokenCounts: [2, 2, 2, 0], finishes: [.stop, .stop, .stop, .stop],
        judged: [true, false, true, true])
    let trained = trainedCompletions(of: judged, options: options { _ in }, tokenLimit: 8)
    #expect(trained.map(\.index) == [0, 2])
    #expect(worstDifference(trained.map(\.advantage), [1.0 / 3, -2.0 / 3]) < 1e-15)
    let lonely = group(rewards: [1, 0], tokenCounts: [2, 2], finishes: [.stop, .stop], judged: [true, false])
    #expect(trainedCompletions(of: lonely, options: options { _ in }, tokenLimit: 8) == [])
}

private func part(_ group: Int, _ completions: Range<Int>) -> MicroBatch.Part {
    MicroBatch.Part(group: group, completions: completions)
}

@Test func `groups share micro-batches up to the budget, their prompts counted once`() {
    let groups = [
        GroupShape(promptTokenCount: 4, completionTokenCounts: [3, 3]),
        GroupShape(promptTokenCount: 5, completionTokenCounts: [5]),
        GroupShape(promptTokenCount: 2, completionTokenCounts: [1]),
    ]
    #expect(
        microBatches(of: groups, tokenBudget: 20) == [
            MicroBatch(parts: [part(0, 0..<2), part(1, 0..<1)], tokenCount: 20),
            MicroBatch(parts: [part(2, 0..<1)], tokenCount: 3),
        ])
    #expect(microBatches(of: groups, tokenBudget: 100).count == 1)
    #expect(microBatches(of: [], tokenBudget: 1) == [])
    let untrained = [GroupShape(promptTokenCount: 9, completionTokenCounts: [])]
    #expect(microBatches(of: untrained, tokenBudget: 1) == [])
}

@Test func `a group above the budget is cut between completions and its last part is shared`() {
    let groups = [
        GroupShape(promptTokenCount: 1, completionTokenCounts: [2]),
        GroupShape(promptTokenCount: 4, completionTokenCounts: [3, 3, 3]),
        GroupShape(promptTokenCount: 1, completionTokenCounts: [1]),
    ]
    #expect(
        microBatches(of: groups, tokenBudget: 10) == [
            MicroBatch(parts: [part(0, 0..<1)], tokenCount: 3),
            MicroBatch(parts: [part(1, 0..<2)], tokenCount: 10),
            MicroBatch(parts: [part(1, 2..<3), part(2, 0..<1)], tokenCount: 9),
        ])
}

@Test func `every trained completion is in exactly one micro-batch, in order, and only lone ones exceed the budget`() {
    for trial in 0..<100 as Range<UInt64> {
        func draw(_ bound: UInt64, _ place: UInt64) -> Int {
            Int(KeyedRandom.integer(below: bound, seed: 5, use: .jitter, trial, place))
        }
        let groups = (0..<6 as Range<UInt64>).map { group in
            GroupShape(
                promptTokenCount: 1 + draw(20, group),
                completionTokenCounts: (0..<UInt64(draw(5, 10 + group))).map { 1 + draw(30, 100 * group + $0 + 50) })
        }
        let batches = microBatches(of: groups, tokenBudget: 40)
        var seen: [[Int]] = []
        for batch in batches {
            var cost = 0
            for part in batch.parts {
                cost += groups[part.group].promptTokenCount
                for completion in part.completions {
                    seen.append([part.group, completion])
                    cost += groups[part.group].completionTokenCounts[completion]
                }
            }
            #expect(cost == batch.tokenCount)
            #expect(cost <= 40 || (batch.parts.count == 1 && batch.parts[0].completions.count == 1))
        }
        #expect(seen == groups.indices.flatMap { group in
            groups[group].completionTokenCounts.indices.map { [group, $0] }
        })
    }
}
