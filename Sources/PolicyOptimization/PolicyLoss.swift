// What the learner minimises: the loss of a batch of tokens and its gradient per token.

import Rollouts

/// The loss of a micro-batch and ∂loss/∂log-prob, the whole interface between RL and the model.
package struct PolicyLossResult: Equatable, Sendable {
    /// The micro-batch's share of the step's loss; shares add up.
    package var loss: Double
    /// ∂loss/∂log-prob of each token of the batch (T); 0 where a token is not trained.
    package var gradient: [Float]
    /// ∂loss/∂entropy of each token (T); nil without an entropy bonus.
    package var entropyGradient: [Float]?
    package var statistics = LossStatistics()

    package init(loss: Double = 0, gradient: [Float], entropyGradient: [Float]? = nil) {
        self.loss = loss
        self.gradient = gradient
        self.entropyGradient = entropyGradient
    }
}

/// The clipped policy loss with its KL penalty and entropy bonus, as a recipe sets them:
/// Σ over trained tokens of weight · (surrogate + β·KL − c·H), with the weights of the recipe's aggregation.
package struct PolicyLoss: Sendable {
    private let algorithm: Algorithm
    private let clip: ClipRange
    private let aggregation: AlgorithmOptions.LossAggregation
    private let totals: LossTotals
    private let klEstimator: AlgorithmOptions.KLEstimator
    /// 0 when the penalty is in the reward.
    private let klCoefficient: Double
    private let entropyBonus: EntropyBonus
    /// Of truncated importance sampling; nil clips ratios to the sampler's log-probs.
    private let importanceCap: Double?

    /// - Parameters:
    ///   - totals: of the whole step's batch, not of the micro-batch.
    ///   - algorithm: nil takes the row of `options.name`.
    package init(options: AlgorithmOptions, totals: LossTotals, algorithm: Algorithm? = nil) {
        self.algorithm = algorithm ?? Algorithm.named(options.name)
        clip = ClipRange(low: options.clipLow, high: options.clipHigh)
        aggregation = options.lossAggregation
        self.totals = totals
        klEstimator = options.klEstimator
        klCoefficient = options.klPlacement == .loss ? options.klCoefficient : 0
        entropyBonus = EntropyBonus(coefficient: options.entropyCoefficient)
        importanceCap = options.importanceCap > 0 ? options.importanceCap : nil
    }

    /// - Parameters:
    ///   - batch: one micro-batch.
    ///   - logProbs: under the policy being trained (T).
    ///   - entropies: of its distributions, in nats (T).
    package func evaluate(batch: TokenBatch, logProbs: [Float], entropies: [Float]) -> PolicyLossResult {
        let count = batch.tokenCount
        precondition(logProbs.count == count, "\(logProbs.count) log-probs for \(count) tokens")
        precondition(entropies.count == count, "\(entropies.count) entropies for \(count) tokens")
        var result = PolicyLossResult(gradient: [Float](repeating: 0, count: count))
        var entropyGradient = [Float](repeating: 0, count: count)
        for (sequence, tokens) in batch.sequences.enumerated() {
            let trained = tokens.filter { batch.mask[$0] }
            guard !trained.isEmpty else { continue }
            let current = trained.map { Double(logProbs[$0]) }
            let sampler = trained.map { Double(batch.oldLogProbs[$0]) }
            // With a cap the step is taken from the policy as it is, and how likely the sampler made each token is made
            // good by a weight; there is one pass over the batch, so the policy at its start is the policy now.
            let terms = evaluate(
                sequence: SequenceView(
                    logProbs: current, oldLogProbs: importanceCap == nil ? sampler : current,
                    advantages: [Double](repeating: batch.advantages[sequence], count: trained.count)),
                referenceLogProbs: batch.referenceLogProbs.map { all in trained.map { Double(all[$0]) } },
                entropies: trained.map { Double(entropies[$0]) },
                corrections: importanceCap.map {
                    truncatedImportanceWeights(oldLogProbs: current, samplerLogProbs: sampler, cap: $0)
                }, samplerLogProbs: sampler)
            result.loss += terms.loss
            result.statistics.merge(terms.statistics)
            for (place, token) in trained.enumerated() {
                result.gradient[token] = Float(terms.gradient[place])
                entropyGradient[token] = Float(terms.entropyGradient)
            }
        }
        if entropyBonus.isOn { result.entropyGradient = entropyGradient }
        return result
    }

    /// One sequence's part, in Double; n trained tokens.
    package struct SequenceTerms: Equatable, Sendable {
        package var loss = 0.0
        /// ∂loss/∂log-prob (n).
        package var gradient: [Double]
        /// ∂loss/∂entropy, the same for every token of the sequence.
        package var entropyGradient = 0.0
        package var statistics = LossStatistics()
    }

    /// - Parameters:
    ///   - sequence: its trained tokens (n), at least one.
    ///   - referenceLogProbs: (n); needed for a KL penalty in the loss.
    ///   - entropies: (n).
    ///   - corrections: what each token's surrogate is multiplied by, without gradient (n); nil is 1.
    ///   - samplerLogProbs: what ratios are measured against (n); nil is the old log-probs.
    package func evaluate(
        sequence: SequenceView, referenceLogProbs: [Double]?, entropies: [Double], corrections: [Double]? = nil,
        samplerLogProbs: [Double]? = nil
    ) -> SequenceTerms {
        let measured = samplerLogProbs ?? sequence.oldLogProbs
        precondition(klCoefficient == 0 || referenceLogProbs != nil, "a KL penalty needs the reference's log-probs")
        let count = sequence.logProbs.count
        let weight = totals.tokenWeight(aggregation, trainedCount: count)
        let surrogate = algorithm.surrogate(sequence, clip)
        var terms = SequenceTerms(gradient: [Double](repeating: 0, count: count))
        terms.statistics.sequenceCount = 1
        for token in 0..<count {
            let correction = corrections?[token] ?? 1
            terms.statistics.policyLoss += weight * correction * surrogate.losses[token]
            terms.gradient[token] = weight * correction * surrogate.gradients[token]
            if surrogate.clipped[token] { terms.statistics.clippedCount += 1 }
            if let referenceLogProbs {
                let estimate = klEstimate(
                    klEstimator, logProb: sequence.logProbs[token], referenceLogProb: referenceLogProbs[token])
                terms.statistics.klSum += estimate.value
                if klCoefficient != 0 {
                    terms.statistics.klLoss += weight * klCoefficient * estimate.value
                    terms.gradient[token] += weight * klCoefficient * estimate.derivative
                }
            }
            if entropyBonus.isOn {
                let bonus = entropyBonus.term(entropy: entropies[token], weight: weight)
                terms.statistics.entropyLoss += bonus.loss
                terms.entropyGradient = bonus.gradient
            }
            terms.statistics.count(
                logProb: sequence.logProbs[token], oldLogProb: measured[token], entropy: entropies[token])
        }
        terms.loss = terms.statistics.policyLoss + terms.statistics.klLoss + terms.statistics.entropyLoss
        return terms
    }
}

extension LossStatistics {
    fileprivate mutating func count(logProb: Double, oldLogProb: Double, entropy: Double) {
        let ratio = importanceRatio(logProb: logProb, oldLogProb: oldLogProb).value
        tokenCount += 1
        ratioSum += ratio
        ratioMin = min(ratioMin, ratio)
        ratioMax = max(ratioMax, ratio)
        // Sampled from the old policy, so the old policy is k3's first argument.
        movementSum += klEstimate(.k3, logProb: oldLogProb, referenceLogProb: logProb).value
        entropySum += entropy
    }
}
