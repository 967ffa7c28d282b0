// Which objective a recipe's algorithm name stands for.

import Rollouts

/// One row of the table of algorithms. What the rows share (advantages, aggregation, KL, entropy, overlong completions)
/// is set by options of its own, so a row is an objective over one sequence and its source.
package struct Algorithm: Sendable {
    package var name: String
    /// Where the objective is defined.
    package var source: String
    package var surrogate: @Sendable (SequenceView, ClipRange) -> SurrogateTerms

    package static let all = [
        Algorithm(name: "grpo", source: "arXiv:2402.03300", surrogate: clippedSurrogate),
        Algorithm(name: "gspo", source: "arXiv:2507.18071", surrogate: sequenceClippedSurrogate),
        Algorithm(name: "cispo", source: "arXiv:2506.13585", surrogate: cappedWeightSurrogate),
        Algorithm(name: "reinforce", source: "arXiv:2402.14740", surrogate: policyGradientSurrogate),
    ]

    /// The row for a recipe's name.
    package static func named(_ name: AlgorithmOptions.Name) -> Algorithm {
        guard let row = all.first(where: { $0.name == name.rawValue }) else {
            preconditionFailure("algorithm \(name.rawValue) has no row in Algorithm.all")
        }
        return row
    }
}
