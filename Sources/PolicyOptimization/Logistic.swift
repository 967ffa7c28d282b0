// Logarithms of probabilities, computed without overflow.

import CKernels

/// −log σ(x) = log(1 + e^(−x)), and its derivative −σ(−x).
package func negativeLogSigmoid(_ x: Double) -> (value: Double, derivative: Double) {
    let small = exact_exp(-abs(x))
    let value = max(-x, 0) + exact_log1p(small)
    return (value, x >= 0 ? -small / (1 + small) : -1 / (1 + small))
}

/// log Σ e^x. - Parameter values: at least one.
package func logSumExp(_ values: some Collection<Double>) -> Double {
    guard let greatest = values.max() else { preconditionFailure("logSumExp of nothing") }
    return greatest + exact_log(values.reduce(0) { $0 + exact_exp($1 - greatest) })
}

/// Logits (V) to log-probs (V).
package func logSoftmax(_ logits: [Double]) -> [Double] {
    let normalizer = logSumExp(logits)
    return logits.map { $0 - normalizer }
}

/// Entropy in nats of the distribution with these logits (V), and ∂entropy/∂logit: −p·(log p + H).
package func entropy(ofLogits logits: [Double]) -> (value: Double, gradient: [Double]) {
    let logProbs = logSoftmax(logits)
    let value = -logProbs.reduce(0) { $0 + exact_exp($1) * $1 }
    return (value, logProbs.map { -exact_exp($0) * ($0 + value) })
}

/// −log p(target), and ∂/∂logit: p − 1 at the target, p elsewhere.
package func crossEntropy(logits: [Double], target: Int) -> (value: Double, gradient: [Double]) {
    precondition(logits.indices.contains(target), "target \(target) outside \(logits.count) logits")
    let logProbs = logSoftmax(logits)
    var gradient = logProbs.map { exact_exp($0) }
    gradient[target] -= 1
    return (-logProbs[target], gradient)
}
