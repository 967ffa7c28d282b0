// Every advantage, loss and gradient of rl_losses.json, in Double, to 1e-11.

import PolicyOptimization
import Rollouts
import Testing

private let tolerance = 1e-11

/// What a policy loss is evaluated with.
private struct LossSetting {
    var algorithm = "grpo"
    var aggregation = AlgorithmOptions.LossAggregation.tokenMean
    var low: Double
    var high: Double
    var beta = 0.0
    var constantLength = 1
    /// Per sequence, one per trained token.
    var advantages: [[Double]]
    var corrections: [[Double]]?
}

/// Evaluates a golden batch sequence by sequence and compares loss and gradient.
/// - Returns: the batch's statistics, and the mean over sequences of their clipped shares.
private func check(
    _ golden: GoldenCase, _ setting: LossSetting, against expected: GoldenCase.Loss,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> (statistics: LossStatistics, clippedSequenceMean: Double) {
    var options = AlgorithmOptions()
    options.clipLow = setting.low
    options.clipHigh = setting.high
    options.lossAggregation = setting.aggregation
    options.klCoefficient = setting.beta
    let totals = LossTotals(
        tokenCount: golden.tokenCount, sequenceCount: golden.sequenceCount, constantLength: setting.constantLength)
    let algorithm = try #require(Algorithm.all.first { $0.name == setting.algorithm })
    let policyLoss = PolicyLoss(options: options, totals: totals, algorithm: algorithm)
    var loss = 0.0
    var statistics = LossStatistics()
    var clippedShares = 0.0
    for sequence in 0..<golden.sequenceCount {
        let terms = policyLoss.evaluate(
            sequence: SequenceView(
                logProbs: golden.trained(golden.inputs.logp, sequence),
                oldLogProbs: golden.trained(golden.inputs.logpOld, sequence),
                advantages: setting.advantages[sequence]),
            referenceLogProbs: golden.trained(golden.inputs.logpRef, sequence),
            entropies: [Double](repeating: 0, count: golden.inputs.lengths[sequence]),
            corrections: setting.corrections?[sequence])
        loss += terms.loss
        statistics.merge(terms.statistics)
        clippedShares += terms.statistics.clippedShare
        let gradient = golden.trained(expected.gradLogp, sequence)
        let worst = worstDifference(terms.gradient, gradient)
        #expect(worst < tolerance, "sequence \(sequence)", sourceLocation: sourceLocation)
    }
    #expect(abs(loss - expected.loss) < tolerance, sourceLocation: sourceLocation)
    return (statistics, clippedShares / Double(golden.sequenceCount))
}

extension GoldenCase {
    fileprivate func broadcast(_ perSequence: [Double]) -> [[Double]] {
        perSequence.indices.map { [Double](repeating: perSequence[$0], count: inputs.lengths[$0]) }
    }

    fileprivate func byGroup(_ advantages: ([Double]) -> [Double]) -> [Double] {
        var all = [Double](repeating: .nan, count: sequenceCount)
        for group in groups {
            for (sequence, value) in zip(group, advantages(group.map { inputs.rewards[$0] })) { all[sequence] = value }
        }
        return all
    }

    fileprivate var grpoAdvantages: [[Double]] { broadcast(byGroup { standardizedAdvantages($0) }) }
}

@Test(arguments: GoldenCase.all.indices)
func `advantages of every kind equal the golden numbers`(index: Int) {
    let golden = GoldenCase.all[index]
    let epsilon = golden.hyperparameters.advEps
    let population = golden.byGroup { standardizedAdvantages($0, epsilon: epsilon) }
    #expect(worstDifference(population, golden.advantages.grpoPopulationStd) < tolerance)
    let sample = golden.byGroup { standardizedAdvantages($0, epsilon: epsilon, spread: .sample) }
    #expect(worstDifference(sample, golden.advantages.grpoSampleStd) < tolerance)
    #expect(worstDifference(golden.byGroup(meanCenteredAdvantages), golden.advantages.meanCentredDrGrpo) < tolerance)
    #expect(worstDifference(golden.byGroup(leaveOneOutAdvantages), golden.advantages.rloo) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `group advantages follow the recipe's normalisation`(index: Int) {
    let golden = GoldenCase.all[index]
    func advantages(_ normalisation: AlgorithmOptions.AdvantageNormalisation) -> [Double] {
        golden.byGroup { rewards in
            groupAdvantages(
                rewards: rewards, hasVerdict: rewards.map { _ in true }, normalisation: normalisation
            ).map { $0 ?? .nan }
        }
    }
    #expect(golden.hyperparameters.advEps == 1e-6)
    #expect(worstDifference(advantages(.groupStd), golden.advantages.grpoPopulationStd) < tolerance)
    #expect(worstDifference(advantages(.none), golden.advantages.meanCentredDrGrpo) < tolerance)
    #expect(worstDifference(advantages(.leaveOneOut), golden.advantages.rloo) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `generalized advantages equal the golden numbers`(index: Int) {
    let golden = GoldenCase.all[index]
    let hyperparameters = golden.hyperparameters
    var trained: [Double] = []
    for sequence in 0..<golden.sequenceCount {
        let mask = golden.mask(sequence)
        let rewards = tokenRewards(
            finalReward: golden.inputs.rewards[sequence], oldLogProbs: golden.inputs.logpOld[sequence],
            referenceLogProbs: golden.inputs.logpRef[sequence], klCoefficient: hyperparameters.klInReward, mask: mask)
        #expect(worstDifference(rewards, golden.advantages.tokenRewardsWithKlPenalty[sequence]) < tolerance)
        let result = generalizedAdvantages(
            rewards: rewards, values: golden.inputs.values[sequence], mask: mask, gamma: hyperparameters.gamma,
            lambda: hyperparameters.lambda)
        #expect(worstDifference(result.advantages, golden.advantages.gae[sequence]) < tolerance)
        #expect(worstDifference(result.returns, golden.advantages.gaeReturns[sequence]) < tolerance)
        trained += zip(result.advantages, mask).filter(\.1).map(\.0)
    }
    let expected = (0..<golden.sequenceCount).flatMap { golden.trained(golden.advantages.gaeWhitenedMasked, $0) }
    #expect(worstDifference(whitened(trained), expected) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `PPO's clipped loss equals the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let expected = golden.losses.ppoClip
    let advantages = (0..<golden.sequenceCount).map { golden.trained(golden.advantages.gaeWhitenedMasked, $0) }
    let eps = golden.hyperparameters.eps
    let setting = LossSetting(low: eps, high: eps, advantages: advantages)
    let statistics = try check(golden, setting, against: expected).statistics
    #expect(abs(statistics.clippedShare - expected.clipFraction!) < tolerance)
    #expect(abs(statistics.ratioMean - expected.meanRatio!) < tolerance)
    let movement = (0..<golden.sequenceCount).reduce(0.0) { sum, sequence in
        let pairs = zip(golden.trained(golden.inputs.logpOld, sequence), golden.trained(golden.inputs.logp, sequence))
        return sum + pairs.reduce(0) { $0 + klEstimate(.k1, logProb: $1.0, referenceLogProb: $1.1).value }
    }
    #expect(abs(movement / Double(golden.tokenCount) - expected.approxKlK1!) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `GRPO's loss with its KL penalty equals the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let hyperparameters = golden.hyperparameters
    let setting = LossSetting(
        aggregation: .sequenceMean, low: hyperparameters.eps, high: hyperparameters.eps, beta: hyperparameters.beta,
        advantages: golden.grpoAdvantages)
    let (statistics, clipped) = try check(golden, setting, against: golden.losses.grpo)
    #expect(abs(clipped - golden.losses.grpo.clipFraction!) < tolerance)
    #expect(abs(statistics.klLoss - hyperparameters.beta * golden.losses.grpo.klK3!) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `DAPO's loss with its raised upper clip equals the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let setting = LossSetting(
        low: golden.hyperparameters.epsLow, high: golden.hyperparameters.epsHigh, advantages: golden.grpoAdvantages)
    let statistics = try check(golden, setting, against: golden.losses.dapo).statistics
    #expect(abs(statistics.clippedShare - golden.losses.dapo.clipFraction!) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `Dr. GRPO's loss over a constant length equals the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let hyperparameters = golden.hyperparameters
    let setting = LossSetting(
        aggregation: .constantLength, low: hyperparameters.eps, high: hyperparameters.eps,
        constantLength: hyperparameters.maxTokens,
        advantages: golden.broadcast(golden.byGroup(meanCenteredAdvantages)))
    _ = try check(golden, setting, against: golden.losses.drGrpo)
}

@Test(arguments: GoldenCase.all.indices)
func `RLOO's and REINFORCE's losses equal the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    var setting = LossSetting(
        algorithm: "reinforce", aggregation: .constantLength, low: 0, high: 0,
        advantages: golden.broadcast(golden.byGroup(leaveOneOutAdvantages)))
    _ = try check(golden, setting, against: golden.losses.rloo)
    setting.aggregation = .tokenMean
    setting.advantages = golden.broadcast(batchMeanAdvantages(golden.inputs.rewards))
    _ = try check(golden, setting, against: golden.losses.reinforceMeanBaseline)
}

@Test(arguments: GoldenCase.all.indices)
func `GSPO's loss and sequence ratios equal the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let expected = golden.losses.gspo
    let setting = LossSetting(
        algorithm: "gspo", aggregation: .sequenceMean, low: golden.hyperparameters.gspoEpsLow,
        high: golden.hyperparameters.gspoEpsHigh, advantages: golden.grpoAdvantages)
    let clipped = try check(golden, setting, against: expected).clippedSequenceMean
    #expect(abs(clipped - expected.clipFraction!) < tolerance)
    let ratios = (0..<golden.sequenceCount).map {
        sequenceImportanceRatio(
            logProbs: golden.trained(golden.inputs.logp, $0), oldLogProbs: golden.trained(golden.inputs.logpOld, $0)
        ).value
    }
    #expect(worstDifference(ratios, expected.sequenceRatio!) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `CISPO's loss equals the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let setting = LossSetting(
        algorithm: "cispo", low: golden.hyperparameters.epsLow, high: golden.hyperparameters.epsHigh,
        advantages: golden.grpoAdvantages)
    _ = try check(golden, setting, against: golden.losses.cispo)
}

@Test(arguments: GoldenCase.all.indices)
func `truncated importance weights multiply the loss as in the golden numbers`(index: Int) throws {
    let golden = GoldenCase.all[index]
    let weights = (0..<golden.sequenceCount).map {
        truncatedImportanceWeights(
            oldLogProbs: golden.trained(golden.inputs.logpOld, $0),
            samplerLogProbs: golden.trained(golden.inputs.logpRolloutEngine, $0), cap: golden.hyperparameters.tisCap)
    }
    let mean = weights.joined().reduce(0, +) / Double(golden.tokenCount)
    #expect(abs(mean - golden.losses.grpoTokenMeanTis.tisWeightMean!) < tolerance)
    let eps = golden.hyperparameters.eps
    let setting = LossSetting(low: eps, high: eps, advantages: golden.grpoAdvantages, corrections: weights)
    _ = try check(golden, setting, against: golden.losses.grpoTokenMeanTis)
}

@Test(arguments: GoldenCase.all.indices)
func `KL estimators equal the golden token means`(index: Int) {
    let golden = GoldenCase.all[index]
    func mean(_ estimator: AlgorithmOptions.KLEstimator) -> Double {
        var sum = 0.0
        for sequence in 0..<golden.sequenceCount {
            let logProbs = golden.trained(golden.inputs.logp, sequence)
            for (logProb, reference) in zip(logProbs, golden.trained(golden.inputs.logpRef, sequence)) {
                sum += klEstimate(estimator, logProb: logProb, referenceLogProb: reference).value
            }
        }
        return sum / Double(golden.tokenCount)
    }
    #expect(abs(mean(.k1) - golden.klEstimatorsTokenMean.k1) < tolerance)
    #expect(abs(mean(.k2) - golden.klEstimatorsTokenMean.k2) < tolerance)
    #expect(abs(mean(.k3) - golden.klEstimatorsTokenMean.k3) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `the clipped value loss equals the golden numbers`(index: Int) {
    let golden = GoldenCase.all[index]
    func all(_ rows: [[Double]]) -> [Double] { (0..<golden.sequenceCount).flatMap { golden.trained(rows, $0) } }
    let result = clippedValueLoss(
        values: all(golden.valueLoss.valuesNew), oldValues: all(golden.inputs.values),
        returns: all(golden.advantages.gaeReturns), clipRange: golden.hyperparameters.valueClip)
    #expect(abs(result.loss - golden.valueLoss.loss) < tolerance)
    #expect(worstDifference(result.gradient, all(golden.valueLoss.gradValuesNew)) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `the soft overlong punishment equals the golden numbers`(index: Int) {
    let golden = GoldenCase.all[index]
    let penalties = golden.dapoOverlong.lengths.map {
        overlongPenalty(
            tokenCount: $0, tokenLimit: golden.hyperparameters.overlongMax,
            buffer: golden.hyperparameters.overlongCache, factor: 1)
    }
    #expect(worstDifference(penalties, golden.dapoOverlong.reward) < tolerance)
}
