// How token losses become one number, the same however the batch is cut into micro-batches.

import Rollouts

/// Denominators of the whole step's batch, so that the losses of its micro-batches add up to the batch's loss.
package struct LossTotals: Equatable, Sendable {
    /// Trained tokens of the whole batch.
    package var tokenCount: Int
    /// Sequences with at least one trained token.
    package var sequenceCount: Int
    /// The length that `constant_length` divides by: the rollout's limit of new tokens.
    package var constantLength: Int

    package init(tokenCount: Int, sequenceCount: Int, constantLength: Int) {
        self.tokenCount = tokenCount
        self.sequenceCount = sequenceCount
        self.constantLength = constantLength
    }

    /// Totals of a batch that holds the whole step.
    package init(of batch: TokenBatch, constantLength: Int) {
        let counts = batch.sequences.map { sequence in sequence.count { batch.mask[$0] } }
        self.init(
            tokenCount: counts.reduce(0, +), sequenceCount: counts.count { $0 > 0 }, constantLength: constantLength)
    }

    /// What each trained token of a sequence counts for; Σ weight · loss over all tokens is the batch's loss.
    /// - Parameter trainedCount: trained tokens of the sequence, at least one.
    package func tokenWeight(_ aggregation: AlgorithmOptions.LossAggregation, trainedCount: Int) -> Double {
        switch aggregation {
        case .tokenMean:
            precondition(tokenCount >= trainedCount, "totals of \(tokenCount) tokens, a sequence has \(trainedCount)")
            return 1 / Double(tokenCount)
        case .sequenceMean:
            precondition(sequenceCount > 0 && trainedCount > 0, "\(sequenceCount) sequences, \(trainedCount) tokens")
            return 1 / (Double(sequenceCount) * Double(trainedCount))
        case .constantLength:
            precondition(sequenceCount > 0 && constantLength > 0, "\(sequenceCount) sequences of \(constantLength)")
            return 1 / (Double(sequenceCount) * Double(constantLength))
        }
    }
}
