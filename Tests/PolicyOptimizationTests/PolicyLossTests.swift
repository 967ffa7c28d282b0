// The learner's loss by hand, option by option, and its independence of micro-batches.

import PolicyOptimization
import Rollouts
import Testing

/// Two groups: sequences of 2 and 1 tokens, then one of 2 whose last token is not trained.
private func batch(reference: [Float]? = nil) -> TokenBatch {
    TokenBatch(
        sequences: [0..<2, 2..<3, 3..<5], groups: [0..<2, 2..<3], oldLogProbs: [-1, -2, -1, -1, -1],
        referenceLogProbs: reference, advantages: [1, -1, 0.5], mask: [true, true, true, true, false])
}

private let onPolicy: [Float] = [-1, -2, -1, -1, -1]
private let entropies: [Float] = [1, 2, 3, 4, 5]

private func evaluate(
    _ batch: TokenBatch, logProbs: [Float] = onPolicy, constantLength: Int = 10,
    _ change: (inout AlgorithmOptions) -> Void = { _ in }
) -> PolicyLossResult {
    var options = AlgorithmOptions()
    change(&options)
    let policyLoss = PolicyLoss(options: options, totals: LossTotals(of: batch, constantLength: constantLength))
    return policyLoss.evaluate(batch: batch, logProbs: logProbs, entropies: entropies)
}

@Test func `on-policy data has ratio exactly one and the plain policy gradient`() {
    let result = evaluate(batch())
    // Four trained tokens with advantages 1, 1, −1, 0.5.
    #expect(result.loss == -0.375)
    #expect(result.gradient == [-0.25, -0.25, 0.25, -0.125, 0])
    #expect(result.entropyGradient == nil)
    #expect(result.statistics.ratioMin == 1 && result.statistics.ratioMax == 1 && result.statistics.ratioMean == 1)
    #expect(result.statistics.tokenCount == 4 && result.statistics.sequenceCount == 3)
    #expect(result.statistics.movementSum == 0 && result.statistics.clippedCount == 0)
    #expect(result.statistics.entropySum == 10)
}

@Test func `the three aggregations weigh tokens as they say`() {
    let sequenceMean = evaluate(batch()) { $0.lossAggregation = .sequenceMean }
    let third = Float(1.0 / 3)
    let sixth = Float(1.0 / 6)
    #expect(sequenceMean.gradient == [-sixth, -sixth, third, -sixth, 0])
    #expect(abs(sequenceMean.loss + 0.5 / 3) < 1e-15)
    let constant = evaluate(batch()) { $0.lossAggregation = .constantLength }
    let thirtieth = Float(1.0 / 30)
    #expect(constant.gradient == [-thirtieth, -thirtieth, thirtieth, -thirtieth / 2, 0])
}

@Test func `a positive advantage is clipped above and a negative one below, each at its own bound`() {
    let single = TokenBatch(
        sequences: [0..<4], groups: [0..<1], oldLogProbs: [-1, -1, -1, -1], referenceLogProbs: nil, advantages: [1],
        mask: [true, true, true, true])
    // Ratios 1.25, 1.35, 0.75, 0.65.
    let moved: [Float] = [-0.776856449, -0.699895408, -1.28768207, -1.43078292]
    func run(_ advantage: Double) -> PolicyLossResult {
        var batch = single
        batch.advantages = [advantage]
        var options = AlgorithmOptions()
        options.clipLow = 0.3
        options.clipHigh = 0.28
        let loss = PolicyLoss(options: options, totals: LossTotals(tokenCount: 4, sequenceCount: 1, constantLength: 4))
        return loss.evaluate(batch: batch, logProbs: moved, entropies: [0, 0, 0, 0])
    }
    let better = run(1)
    #expect(better.statistics.clippedCount == 1)
    #expect(abs(better.loss + 3.93 / 4) < 1e-7)
    #expect(worstDifference(better.gradient.map { Double($0) }, [-0.3125, 0, -0.1875, -0.1625]) < 1e-6)
    let worse = run(-1)
    #expect(worse.statistics.clippedCount == 1)
    #expect(abs(worse.loss - 4.05 / 4) < 1e-7)
    #expect(worstDifference(worse.gradient.map { Double($0) }, [0.3125, 0.3375, 0.1875, 0]) < 1e-6)
    #expect(abs(better.statistics.ratioMax - 1.35) < 1e-6 && abs(better.statistics.ratioMin - 0.65) < 1e-6)
}

@Test func `the KL penalty in the loss pulls towards the reference with the estimator the recipe names`() {
    let reference: [Float] = [-1.5, -2, -1, -1, -9]
    func gradient(_ estimator: AlgorithmOptions.KLEstimator) -> (Float, PolicyLossResult) {
        let result = evaluate(batch(reference: reference)) {
            $0.klCoefficient = 0.4
            $0.klEstimator = estimator
        }
        return (result.gradient[0], result)
    }
    // d = 0.5 at the first token; weight 1/4; the surrogate's own gradient there is −0.25.
    #expect(abs(gradient(.k1).0 - -0.15) < 1e-7)
    #expect(abs(gradient(.k2).0 - -0.2) < 1e-7)
    #expect(abs(gradient(.k3).0 - -0.21065306597) < 1e-7)
    let (_, result) = gradient(.k3)
    #expect(abs(result.statistics.klSum - 0.1065306597126334) < 1e-12)
    #expect(abs(result.statistics.klLoss - 0.01065306597126334) < 1e-12)
    #expect(result.gradient[1] == -0.25 && result.gradient[4] == 0)
}

@Test func `a KL penalty in the reward leaves the loss alone but is measured`() {
    let penalized = evaluate(batch(reference: [-1.5, -2, -1, -1, -1])) {
        $0.klCoefficient = 0.4
        $0.klPlacement = .reward
    }
    #expect(penalized.gradient == evaluate(batch()).gradient)
    #expect(penalized.loss == evaluate(batch()).loss)
    #expect(penalized.statistics.klSum > 0.1)
}

@Test func `the entropy bonus lowers the loss by coefficient times aggregated entropy`() {
    let result = evaluate(batch()) { $0.entropyCoefficient = 0.2 }
    let plain = evaluate(batch())
    #expect(abs(result.loss - (plain.loss - 0.5)) < 1e-15)
    #expect(result.entropyGradient == [-0.05, -0.05, -0.05, -0.05, 0])
    #expect(result.gradient == plain.gradient)
    #expect(abs(result.statistics.entropyLoss - -0.5) < 1e-15)
}

@Test func `a zero advantage gives no gradient however far the policy has moved`() {
    var still = batch()
    still.advantages = [0, 0, 0]
    let result = evaluate(still, logProbs: [-3, -0.1, -5, -1, -1])
    #expect(result.gradient == [0, 0, 0, 0, 0])
    #expect(result.loss == 0)
}

@Test func `a log-ratio beyond the limit stays finite and has no slope`() {
    #expect(importanceRatio(logRatio: 800).value == importanceRatio(logRatio: 20).value)
    #expect(importanceRatio(logRatio: 800).derivative == 0)
    #expect(importanceRatio(logRatio: -800).value > 0)
    #expect(klEstimate(.k3, logProb: -900, referenceLogProb: -1).value.isFinite)
    #expect(klEstimate(.k3, logProb: -900, referenceLogProb: -1).derivative == 0)
    #expect(klEstimate(.k1, logProb: -1, referenceLogProb: -3).derivative == 1)
}

@Test(arguments: AlgorithmOptions.LossAggregation.allCases)
func `loss, gradient and statistics do not depend on the number of micro-batches`(
    aggregation: AlgorithmOptions.LossAggregation
) {
    let lengths = [3, 7, 1, 5, 4, 9, 2, 6]
    var sequences: [Range<Int>] = []
    var count = 0
    for length in lengths {
        sequences.append(count..<count + length)
        count += length
    }
    func random(_ place: UInt64) -> [Double] {
        (0..<count).map { KeyedRandom.uniform(seed: 11, use: .jitter, place, UInt64($0)) }
    }
    let old = random(1).map { Float(-3 * $0) }
    let logProbs = zip(old, random(2)).map { $0 + Float($1 - 0.5) }
    let whole = TokenBatch(
        sequences: sequences, groups: [0..<4, 4..<8], oldLogProbs: old,
        referenceLogProbs: zip(old, random(3)).map { $0 + Float($1 - 0.5) },
        advantages: [1, -1, 0.5, -0.5, 2, 0, -1, -1], mask: random(4).map { $0 < 0.8 })
    var options = AlgorithmOptions()
    options.lossAggregation = aggregation
    options.klCoefficient = 0.1
    options.entropyCoefficient = 0.01
    let loss = PolicyLoss(options: options, totals: LossTotals(of: whole, constantLength: 12))
    let entropies = random(5).map { Float($0) }
    let expected = loss.evaluate(batch: whole, logProbs: logProbs, entropies: entropies)
    for cuts in [[0, 8], [0, 3, 8], [0, 4, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8]] {
        var merged = PolicyLossResult(gradient: [])
        var entropyGradient: [Float] = []
        for (start, end) in zip(cuts, cuts.dropFirst()) {
            let tokens = sequences[start].lowerBound..<sequences[end - 1].upperBound
            let part = loss.evaluate(
                batch: whole.slice(sequences: start..<end), logProbs: Array(logProbs[tokens]),
                entropies: Array(entropies[tokens]))
            merged.loss += part.loss
            merged.gradient += part.gradient
            entropyGradient += part.entropyGradient!
            merged.statistics.merge(part.statistics)
        }
        #expect(merged.gradient == expected.gradient)
        #expect(entropyGradient == expected.entropyGradient!)
        #expect(abs(merged.loss - expected.loss) < 1e-14)
        #expect(merged.statistics.tokenCount == expected.statistics.tokenCount)
        #expect(merged.statistics.clippedCount == expected.statistics.clippedCount)
        #expect(merged.statistics.ratioMax == expected.statistics.ratioMax)
        #expect(abs(merged.statistics.klSum - expected.statistics.klSum) < 1e-12)
    }
    #expect(expected.statistics.clippedCount > 0)
}

@Test func `a slice keeps its groups and counts tokens from zero`() {
    let part = batch(reference: [1, 2, 3, 4, 5]).slice(sequences: 1..<3)
    #expect(part.sequences == [0..<1, 1..<3])
    #expect(part.groups == [0..<1, 1..<2])
    #expect(part.referenceLogProbs == [3, 4, 5])
    #expect(part.advantages == [-1, 0.5])
    #expect(part.mask == [true, true, false])
    #expect(batch().slice(sequences: 2..<2).tokenCount == 0)
}

@Test func `every algorithm name has one row`() {
    for name in AlgorithmOptions.Name.allCases { #expect(Algorithm.named(name).name == name.rawValue) }
    #expect(Set(Algorithm.all.map(\.name)).count == Algorithm.all.count)
}

@Test func `truncated importance sampling weighs each token by its capped ratio and clips nothing`() {
    let single = TokenBatch(
        sequences: [0..<5], groups: [0..<1], oldLogProbs: [-2, -1, -3, -1, -1], referenceLogProbs: nil,
        advantages: [2], mask: [true, true, true, false, false])
    // Ratios e, 1/e and e²; a cap of 3 leaves the first two as they are.
    let result = evaluate(single, logProbs: [-1, -2, -1, -1, -1]) { $0.importanceCap = 3 }
    let e = 2.718281828459045
    let weights = [e, 1 / e, 3, 0, 0]
    #expect(worstDifference(result.gradient.map { Double($0) }, weights.map { -2 * $0 / 3 }) < 1e-6)
    #expect(abs(result.loss + 2 * (e + 1 / e + 3) / 3) < 1e-12)
    #expect(result.statistics.clippedCount == 0)
    // What is measured is the ratio to the sampler.
    #expect(abs(result.statistics.ratioMax - e * e) < 1e-12)
}
