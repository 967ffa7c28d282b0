// The naive version of the sampling kernels: double precision, a full sort, the rules word for word.
import Foundation
import Rollouts

struct SamplingReference {
    /// Untruncated, at the given temperature.
    var policy: [Double]
    /// Truncated and renormalised: what is sampled; 0 for a dropped token.
    var sampled: [Double]
    /// Whether rounding could move the place of a cut: a share of mass or a ratio within 1e-5 of its limit.
    var isBorderline = false

    init(_ logits: [Float], _ options: SamplingOptions) {
        let temperature = options.temperature == 0 ? 1 : options.temperature
        let maximum = Double(logits.max()!)
        let weights = logits.map { exp((Double($0) - maximum) / temperature) }
        let sum = weights.reduce(0, +)
        policy = weights.map { $0 / sum }
        var ranked = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }
        if options.temperature == 0 { ranked = [ranked[0]] }
        if options.topK > 0 { ranked = Array(ranked.prefix(options.topK)) }
        if options.topP < 1 {
            let limit = options.topP * ranked.reduce(0) { $0 + weights[$1] }
            var mass = 0.0, kept = 0
            while kept < ranked.count, mass < limit {
                if abs(mass - limit) < 1e-5 * limit { isBorderline = true }
                mass += weights[ranked[kept]]
                kept += 1
            }
            if abs(mass - limit) < 1e-5 * limit { isBorderline = true }
            ranked = Array(ranked.prefix(max(kept, 1)))
        }
        if options.minP > 0 {
            isBorderline = isBorderline || ranked.contains {
                weights[$0] != 1 && abs(weights[$0] / options.minP - 1) < 1e-5
            }
            ranked = ranked.filter { weights[$0] >= options.minP }
        }
        let keptSum = ranked.reduce(0) { $0 + weights[$1] }
        sampled = Array(repeating: 0, count: logits.count)
        for token in ranked { sampled[token] = weights[token] / keptSum }
    }

    /// Nats.
    var entropy: Double { policy.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 } }
}

/// Numbers near a normal distribution with this standard deviation (a sum of four uniform ones).
func randomLogits(count: Int, deviation: Double, seed: UInt64) -> [Float] {
    (0..<count).map { token in
        let sum = (0..<4).reduce(-2.0) {
            $0 + KeyedRandom.uniform(seed: seed, use: .jitter, UInt64(token), UInt64($1))
        }
        return Float(sum * deviation * 1.732_050_8)
    }
}
