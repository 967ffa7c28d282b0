// What is measured while a loss is computed: sums that add up over micro-batches.

/// Sums over trained tokens. Merging the statistics of all micro-batches gives those of the step.
package struct LossStatistics: Equatable, Sendable {
    package var tokenCount = 0
    package var sequenceCount = 0
    /// Parts of the loss; they already carry the batch's denominators.
    package var policyLoss = 0.0
    package var klLoss = 0.0
    package var entropyLoss = 0.0
    /// Σ of the recipe's KL estimator against the reference, in nats; 0 without a reference.
    package var klSum = 0.0
    /// Σ of k3 against the policy at the start of the step: how far this update has moved, in nats.
    package var movementSum = 0.0
    package var ratioSum = 0.0
    package var ratioMin = Double.infinity
    package var ratioMax = 0.0
    package var clippedCount = 0
    /// Σ of the tokens' entropies, in nats.
    package var entropySum = 0.0

    package init() {}

    package mutating func merge(_ other: LossStatistics) {
        tokenCount += other.tokenCount
        sequenceCount += other.sequenceCount
        policyLoss += other.policyLoss
        klLoss += other.klLoss
        entropyLoss += other.entropyLoss
        klSum += other.klSum
        movementSum += other.movementSum
        ratioSum += other.ratioSum
        ratioMin = min(ratioMin, other.ratioMin)
        ratioMax = max(ratioMax, other.ratioMax)
        clippedCount += other.clippedCount
        entropySum += other.entropySum
    }

    package var klMean: Double { perToken(klSum) }
    package var movementMean: Double { perToken(movementSum) }
    package var ratioMean: Double { perToken(ratioSum) }
    package var clippedShare: Double { perToken(Double(clippedCount)) }
    package var entropyMean: Double { perToken(entropySum) }

    private func perToken(_ sum: Double) -> Double { tokenCount > 0 ? sum / Double(tokenCount) : 0 }
}
