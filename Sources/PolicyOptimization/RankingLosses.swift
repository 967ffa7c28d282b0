// How a reward model learns from people's preferences: pairs and whole rankings.

import CKernels

/// Mean of −log σ(chosen − rejected − margin) over pairs, with the share of pairs in the right order.
/// Source: Bradley and Terry 1952; as a reward-model loss: InstructGPT, arXiv:2203.02155 eq. 1.
/// - Returns: gradients with respect to the scores.
package func bradleyTerryLoss(
    chosen: [Double], rejected: [Double], margin: Double = 0
) -> (loss: Double, chosenGradient: [Double], rejectedGradient: [Double], accuracy: Double) {
    precondition(chosen.count == rejected.count, "\(chosen.count) chosen for \(rejected.count) rejected")
    guard !chosen.isEmpty else { return (0, [], [], 0) }
    let scale = 1 / Double(chosen.count)
    let terms = zip(chosen, rejected).map { negativeLogSigmoid($0 - $1 - margin) }
    let gradient = terms.map { scale * $0.derivative }
    return (
        scale * terms.reduce(0) { $0 + $1.value }, gradient, gradient.map { -$0 },
        scale * Double(zip(chosen, rejected).count { $0 > $1 })
    )
}

/// Mean over rankings of −Σ_k log softmax(s_k | s_k ... s_K). Source: Plackett 1975, Luce 1959.
/// - Parameter rankings: scores of each ranking's items, best first.
package func plackettLuceLoss(rankings: [[Double]]) -> (loss: Double, gradient: [[Double]]) {
    meanOverRankings(rankings) { scores in
        var loss = 0.0
        var gradient = [Double](repeating: 0, count: scores.count)
        for place in scores.indices {
            let normalizer = logSumExp(scores[place...])
            loss += normalizer - scores[place]
            gradient[place] -= 1
            for other in scores.indices[place...] { gradient[other] += exact_exp(scores[other] - normalizer) }
        }
        return (loss, gradient)
    }
}

/// Mean over rankings of the mean over all K(K−1)/2 pairs of −log σ(better − worse): all pairs of one prompt are one
/// element of the batch. Source: InstructGPT, arXiv:2203.02155 §3.5.
/// - Parameter rankings: scores of each ranking's items, best first.
package func allPairsLoss(rankings: [[Double]]) -> (loss: Double, gradient: [[Double]]) {
    meanOverRankings(rankings) { scores in
        var loss = 0.0
        var gradient = [Double](repeating: 0, count: scores.count)
        guard scores.count >= 2 else { return (loss, gradient) }
        let scale = 2 / Double(scores.count * (scores.count - 1))
        for better in scores.indices {
            for worse in scores.indices[(better + 1)...] {
                let term = negativeLogSigmoid(scores[better] - scores[worse])
                loss += scale * term.value
                gradient[better] += scale * term.derivative
                gradient[worse] -= scale * term.derivative
            }
        }
        return (loss, gradient)
    }
}

private func meanOverRankings(
    _ rankings: [[Double]], _ one: ([Double]) -> (loss: Double, gradient: [Double])
) -> (loss: Double, gradient: [[Double]]) {
    guard !rankings.isEmpty else { return (0, []) }
    let scale = 1 / Double(rankings.count)
    let terms = rankings.map(one)
    return (scale * terms.reduce(0) { $0 + $1.loss }, terms.map { $0.gradient.map { scale * $0 } })
}
