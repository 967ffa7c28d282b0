// What is measured while a gradient is computed, as sums that are added in the gradient's own tree.

import PolicyOptimization
import Rollouts

/// Of some shards of one pass over a step's groups.
struct ShardSums: Equatable {
    var statistics = LossStatistics()
    /// Shares of the step's loss.
    var loss = 0.0
    /// Tokens that went through the model.
    var tokenCount = 0
    /// Over all completion tokens, taught or not, as the sampler measured them; in nats.
    var entropySum = 0.0
    var entropyCount = 0

    /// Left and right node: sums of floating-point numbers depend on who is added to whom.
    mutating func merge(_ right: ShardSums) {
        statistics.merge(right.statistics)
        loss += right.loss
        tokenCount += right.tokenCount
        entropySum += right.entropySum
        entropyCount += right.entropyCount
    }

    var entropyMean: Double { entropyCount == 0 ? 0 : entropySum / Double(entropyCount) }

    // MARK: on their way to the learner that adds them

    private typealias Numbers = WritableKeyPath<ShardSums, Double>
    private typealias Counts = WritableKeyPath<ShardSums, Int>
    private static var numbers: [(String, Numbers)] {
        [
            ("policy_loss", \.statistics.policyLoss), ("kl_loss", \.statistics.klLoss),
            ("entropy_loss", \.statistics.entropyLoss), ("kl_sum", \.statistics.klSum),
            ("movement_sum", \.statistics.movementSum), ("ratio_sum", \.statistics.ratioSum),
            ("ratio_min", \.statistics.ratioMin), ("ratio_max", \.statistics.ratioMax),
            ("statistics_entropy_sum", \.statistics.entropySum), ("loss", \.loss), ("entropy_sum", \.entropySum),
        ]
    }
    private static var counts: [(String, Counts)] {
        [
            ("trained_token_count", \.statistics.tokenCount), ("sequence_count", \.statistics.sequenceCount),
            ("clipped_count", \.statistics.clippedCount), ("token_count", \.tokenCount),
            ("entropy_count", \.entropyCount),
        ]
    }
    /// Doubles hold every count up to this.
    private static let countLimit = 0x1p53

    init() {}

    var values: [StepMetrics.Value] {
        Self.numbers.map { StepMetrics.Value(name: $0.0, value: self[keyPath: $0.1]) }
            + Self.counts.map { StepMetrics.Value(name: $0.0, value: Double(self[keyPath: $0.1])) }
    }

    init(_ values: [StepMetrics.Value], of shards: ShardRange) throws(ComputeError) {
        func value(_ name: String) throws(ComputeError) -> Double {
            guard let value = values.first(where: { $0.name == name })?.value else {
                throw ComputeError.text(
                    "the part of the gradient for shards \(shards.shards) has no `\(name)`; "
                        + "check that all learners are of the same build")
            }
            return value
        }
        for (name, path) in Self.numbers { self[keyPath: path] = try value(name) }
        for (name, path) in Self.counts {
            let count = try value(name)
            guard count >= 0, count <= Self.countLimit else {
                throw ComputeError.text(
                    "the part of the gradient for shards \(shards.shards) has `\(name)` \(count), a count expected")
            }
            self[keyPath: path] = Int(count)
        }
    }
}
