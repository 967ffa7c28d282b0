// How far the policy has moved from the reference policy, estimated from sampled tokens.

import CKernels
import Rollouts

/// An estimate in nats and its derivative with respect to the current log-prob.
package struct KLEstimate: Equatable, Sendable {
    package var value: Double
    package var derivative: Double
}

/// KL(policy ‖ reference) estimated from one sampled token, with d = ℓ − ℓ_ref held inside ±20:
/// k1 = d, k2 = d²/2, k3 = e^(−d) − 1 + d.
/// Source: J. Schulman, "Approximating KL divergence" (2020).
package func klEstimate(
    _ estimator: AlgorithmOptions.KLEstimator, logProb: Double, referenceLogProb: Double
) -> KLEstimate {
    let difference = logProb - referenceLogProb
    let held = min(max(difference, -logRatioLimit), logRatioLimit)
    let slope = held == difference ? 1.0 : 0
    switch estimator {
    case .k1: return KLEstimate(value: held, derivative: slope)
    case .k2: return KLEstimate(value: held * held / 2, derivative: held * slope)
    // expm1 keeps the digits that e^(−d) − 1 loses near d = 0, where policies close to the reference live.
    case .k3: return KLEstimate(value: exact_expm1(-held) + held, derivative: -exact_expm1(-held) * slope)
    }
}

/// Σ (ℓ − ℓ_ref) over a completion's tokens: the k1 estimate of one whole completion, in nats. This is what a penalty
/// in the reward takes, whichever estimator the recipe names for a penalty in the loss: only k1 is unbiased there.
package func summedReferenceKL(logProbs: [Float], referenceLogProbs: [Float]) -> Double {
    precondition(logProbs.count == referenceLogProbs.count,
        "\(logProbs.count) log-probs for \(referenceLogProbs.count) of the reference")
    return zip(logProbs, referenceLogProbs).reduce(0) { $0 + (Double($1.0) - Double($1.1)) }
}
