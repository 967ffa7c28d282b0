// How much likelier the current policy makes a token than the policy that is compared with.

import CKernels

/// Log-prob differences are held inside ±20 nats before they are exponentiated, so that no ratio overflows; outside,
/// ratios are constant and their gradient is 0.
package let logRatioLimit = 20.0

/// A ratio and its derivative with respect to the current log-prob.
package struct ImportanceRatio: Equatable, Sendable {
    package var value: Double
    package var derivative: Double
}

/// exp(ℓ − ℓ_old) of one token.
package func importanceRatio(logProb: Double, oldLogProb: Double) -> ImportanceRatio {
    importanceRatio(logRatio: logProb - oldLogProb)
}

/// exp of a log-ratio in nats.
package func importanceRatio(logRatio: Double) -> ImportanceRatio {
    if logRatio > logRatioLimit { return ImportanceRatio(value: exact_exp(logRatioLimit), derivative: 0) }
    if logRatio < -logRatioLimit { return ImportanceRatio(value: exact_exp(-logRatioLimit), derivative: 0) }
    let value = exact_exp(logRatio)
    return ImportanceRatio(value: value, derivative: value)
}

/// exp of the mean log-ratio of a sequence's tokens: the geometric mean of its ratios.
/// Source: GSPO, arXiv:2507.18071 eq. 7. The derivative is with respect to the mean log-ratio.
/// - Parameters: log-probs of the trained tokens, same count, at least one.
package func sequenceImportanceRatio(logProbs: [Double], oldLogProbs: [Double]) -> ImportanceRatio {
    precondition(!logProbs.isEmpty && logProbs.count == oldLogProbs.count,
        "\(logProbs.count) log-probs for \(oldLogProbs.count) old ones")
    var sum = 0.0
    for (logProb, old) in zip(logProbs, oldLogProbs) { sum += logProb - old }
    return importanceRatio(logRatio: sum / Double(logProbs.count))
}

/// How far a ratio may move before the objective stops rewarding it.
package struct ClipRange: Equatable, Sendable {
    /// Ratios are clipped to 1 − `low` ... 1 + `high`.
    package var low: Double
    package var high: Double

    package init(low: Double, high: Double) {
        self.low = low
        self.high = high
    }

    package func clip(_ ratio: Double) -> Double { min(max(ratio, 1 - low), 1 + high) }
}
