// Every gradient against central differences of its own loss, in Double.

import PolicyOptimization
import Rollouts
import Testing

private let step = 1e-6
private let tolerance = 1e-8

/// The largest difference between a gradient and the central differences of its loss.
private func worstError(at point: [Double], gradient: [Double], loss: ([Double]) -> Double) -> Double {
    point.indices.map { index in
        var above = point
        var below = point
        above[index] += step
        below[index] -= step
        return abs((loss(above) - loss(below)) / (2 * step) - gradient[index])
    }.max() ?? .infinity
}

private func numbers(_ count: Int, _ place: UInt64, from low: Double, to high: Double) -> [Double] {
    (0..<count).map { low + (high - low) * KeyedRandom.uniform(seed: 7, use: .jitter, place, UInt64($0)) }
}

/// Advantage, log-probs, old log-probs and reference log-probs of one sequence; ratios on both sides of the clip range.
private let sequences: [(advantage: Double, logProbs: [Double], old: [Double], reference: [Double])] =
    [(1.3, 1 as UInt64), (-0.7, 2), (0.4, 3)].map { advantage, place in
        let old = numbers(9, place, from: -3, to: -0.2)
        let moves = numbers(9, place + 10, from: -0.6, to: 0.6)
        let drift = numbers(9, place + 20, from: -0.8, to: 0.8)
        return (advantage, zip(old, moves).map(+), old, zip(old, drift).map(+))
    }

@Test(arguments: AlgorithmOptions.LossAggregation.allCases, AlgorithmOptions.KLEstimator.allCases)
func `policy loss gradients equal central differences`(
    aggregation: AlgorithmOptions.LossAggregation, estimator: AlgorithmOptions.KLEstimator
) {
    var options = AlgorithmOptions()
    options.lossAggregation = aggregation
    options.klCoefficient = 0.3
    options.klEstimator = estimator
    options.clipLow = 0.2
    options.clipHigh = 0.28
    let policyLoss = PolicyLoss(
        options: options, totals: LossTotals(tokenCount: 27, sequenceCount: 3, constantLength: 16))
    var clipped = 0
    for sequence in sequences {
        func terms(_ logProbs: [Double]) -> PolicyLoss.SequenceTerms {
            policyLoss.evaluate(
                sequence: SequenceView(
                    logProbs: logProbs, oldLogProbs: sequence.old,
                    advantages: [Double](repeating: sequence.advantage, count: 9)),
                referenceLogProbs: sequence.reference, entropies: [Double](repeating: 1, count: 9))
        }
        let here = terms(sequence.logProbs)
        clipped += here.statistics.clippedCount
        #expect(worstError(at: sequence.logProbs, gradient: here.gradient) { terms($0).loss } < tolerance)
    }
    #expect(clipped > 0 && clipped < 27, "the points must lie on both sides of the clip")
}

@Test func `GSPO's gradient equals central differences of the sequence mean`() {
    for sequence in sequences {
        func terms(_ logProbs: [Double]) -> SurrogateTerms {
            let advantages = [Double](repeating: sequence.advantage, count: 9)
            let view = SequenceView(logProbs: logProbs, oldLogProbs: sequence.old, advantages: advantages)
            return sequenceClippedSurrogate(view, clip: ClipRange(low: 0.9, high: 0.9))
        }
        let gradient = terms(sequence.logProbs).gradients
        #expect(worstError(at: sequence.logProbs, gradient: gradient) { terms($0).losses.reduce(0, +) } < 1e-7)
    }
}

@Test func `the plain policy gradient equals central differences`() {
    let sequence = sequences[0]
    func terms(_ logProbs: [Double]) -> SurrogateTerms {
        policyGradientSurrogate(
            SequenceView(logProbs: logProbs, oldLogProbs: sequence.old, advantages: numbers(9, 40, from: -1, to: 1)),
            clip: ClipRange(low: 0, high: 0))
    }
    let gradient = terms(sequence.logProbs).gradients
    #expect(worstError(at: sequence.logProbs, gradient: gradient) { terms($0).losses.reduce(0, +) } < tolerance)
}

@Test func `CISPO's gradient is the capped ratio times the plain policy gradient`() {
    let view = SequenceView(logProbs: [-1, -1, -1], oldLogProbs: [-1, -2, -0.5], advantages: [2, 2, -1])
    let terms = cappedWeightSurrogate(view, clip: ClipRange(low: 1, high: 0.28))
    let low = 0.6065306597126334  // e^−0.5
    #expect(worstDifference(terms.gradients, [-2, -2 * 1.28, low]) < 1e-15)
    #expect(worstDifference(terms.losses, [2, 2 * 1.28, -low]) < 1e-15)
    #expect(terms.clipped == [false, true, false])
}

@Test func `value, entropy, cross-entropy and preference gradients equal central differences`() {
    let values = numbers(8, 50, from: -1, to: 1)
    let old = zip(values, numbers(8, 51, from: -0.5, to: 0.5)).map(+)
    let returns = numbers(8, 52, from: -1, to: 1)
    func value(_ values: [Double]) -> (loss: Double, gradient: [Double]) {
        clippedValueLoss(values: values, oldValues: old, returns: returns, clipRange: 0.2)
    }
    #expect(worstError(at: values, gradient: value(values).gradient) { value($0).loss } < tolerance)

    let logits = numbers(6, 53, from: -2, to: 2)
    let spread = entropy(ofLogits: logits).gradient
    #expect(worstError(at: logits, gradient: spread) { entropy(ofLogits: $0).value } < tolerance)
    let target = crossEntropy(logits: logits, target: 2).gradient
    #expect(worstError(at: logits, gradient: target) { crossEntropy(logits: $0, target: 2).value } < tolerance)

    let scores = numbers(5, 54, from: -2, to: 2)
    #expect(
        worstError(at: scores, gradient: plackettLuceLoss(rankings: [scores]).gradient[0]) {
            plackettLuceLoss(rankings: [$0]).loss
        } < tolerance)
    #expect(
        worstError(at: scores, gradient: allPairsLoss(rankings: [scores]).gradient[0]) {
            allPairsLoss(rankings: [$0]).loss
        } < tolerance)
    let rejected = numbers(5, 55, from: -2, to: 2)
    let pairs = bradleyTerryLoss(chosen: scores, rejected: rejected, margin: 0.5)
    #expect(
        worstError(at: scores, gradient: pairs.chosenGradient) {
            bradleyTerryLoss(chosen: $0, rejected: rejected, margin: 0.5).loss
        } < tolerance)
}

@Test func `DPO's gradients equal central differences, with label smoothing too`() {
    let chosen = numbers(4, 60, from: -20, to: -10)
    let rejected = numbers(4, 61, from: -20, to: -10)
    func result(_ chosen: [Double], _ rejected: [Double]) -> PreferenceLoss {
        directPreferenceLoss(
            PreferencePairs(
                policyChosen: chosen, policyRejected: rejected, referenceChosen: numbers(4, 62, from: -20, to: -10),
                referenceRejected: numbers(4, 63, from: -20, to: -10)), beta: 0.2, labelSmoothing: 0.1)
    }
    let here = result(chosen, rejected)
    #expect(worstError(at: chosen, gradient: here.chosenGradient) { result($0, rejected).loss } < tolerance)
    #expect(worstError(at: rejected, gradient: here.rejectedGradient) { result(chosen, $0).loss } < tolerance)
}

@Test func `log-sigmoid and log-sum-exp neither overflow nor lose the small end`() {
    #expect(negativeLogSigmoid(1000).value == 0)
    #expect(negativeLogSigmoid(-1000).value == 1000)
    #expect(negativeLogSigmoid(-1000).derivative == -1)
    #expect(abs(negativeLogSigmoid(0).value - 0.6931471805599453) < 1e-15)
    #expect(negativeLogSigmoid(0).derivative == -0.5)
    #expect(abs(logSumExp([1000, 1000]) - 1000.6931471805599) < 1e-12)
}
