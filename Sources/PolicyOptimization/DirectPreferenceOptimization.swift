// How a policy learns from preferences without a reward model.

/// Log-probs of whole completions, one per pair.
package struct PreferencePairs: Equatable, Sendable {
    package var policyChosen: [Double]
    package var policyRejected: [Double]
    package var referenceChosen: [Double]
    package var referenceRejected: [Double]

    package init(
        policyChosen: [Double], policyRejected: [Double], referenceChosen: [Double], referenceRejected: [Double]
    ) {
        precondition(
            policyChosen.count == policyRejected.count && policyChosen.count == referenceChosen.count
                && policyChosen.count == referenceRejected.count, "pairs of different counts")
        self.policyChosen = policyChosen
        self.policyRejected = policyRejected
        self.referenceChosen = referenceChosen
        self.referenceRejected = referenceRejected
    }
}

package struct PreferenceLoss: Equatable, Sendable {
    package var loss: Double
    package var chosenGradient: [Double]
    package var rejectedGradient: [Double]
    /// β·h: by how much the implicit reward prefers the chosen completion, one per pair.
    package var margins: [Double]
}

/// Mean of −(1 − s)·log σ(βh) − s·log σ(−βh), with h the policy's log-ratio of chosen to rejected minus the
/// reference's, and s the label smoothing. Source: DPO, arXiv:2305.18290 eq. 7.
package func directPreferenceLoss(
    _ pairs: PreferencePairs, beta: Double, labelSmoothing: Double = 0
) -> PreferenceLoss {
    guard !pairs.policyChosen.isEmpty else {
        return PreferenceLoss(loss: 0, chosenGradient: [], rejectedGradient: [], margins: [])
    }
    let scale = 1 / Double(pairs.policyChosen.count)
    let margins = pairs.policyChosen.indices.map { pair in
        beta * ((pairs.policyChosen[pair] - pairs.referenceChosen[pair])
            - (pairs.policyRejected[pair] - pairs.referenceRejected[pair]))
    }
    var loss = 0.0
    let gradient = margins.map { margin in
        let right = negativeLogSigmoid(margin)
        let flipped = negativeLogSigmoid(-margin)
        loss += scale * ((1 - labelSmoothing) * right.value + labelSmoothing * flipped.value)
        return scale * beta * ((1 - labelSmoothing) * right.derivative - labelSmoothing * flipped.derivative)
    }
    return PreferenceLoss(
        loss: loss, chosenGradient: gradient, rejectedGradient: gradient.map { -$0 }, margins: margins)
}
