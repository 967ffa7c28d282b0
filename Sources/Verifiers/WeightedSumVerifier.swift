// Several verifiers' scores as one.

import Rollouts

/// Score: Σ weight · score of the parts. Right when every required part is right. A part without a verdict leaves the
/// whole without one: a failure is never a wrong answer.
struct WeightedSumVerifier: Verifier {
    private static let depthLimit = 8

    private struct Part: Sendable {
        var name: String
        var weight: Double
        var required: Bool
        var verifier: any Verifier
    }
    private let parts: [Part]

    /// - Parameter depth: of this sum inside other sums.
    init(_ options: VerifierOptions, depth: Int) throws(VerifierError) {
        func error(_ option: String, _ problem: String) -> VerifierError {
            VerifierError(kind: .weightedSum, option: option, problem: problem)
        }
        if depth >= WeightedSumVerifier.depthLimit {
            throw error("parts", "are nested more than \(WeightedSumVerifier.depthLimit) deep")
        }
        if options.parts.isEmpty { throw error("parts", "is empty; name at least one verifier") }
        var made: [Part] = []
        for (index, part) in options.parts.enumerated() {
            if !part.weight.isFinite { throw error("parts[\(index)].weight", "is \(part.weight); expected a number") }
            if part.verifier.shuffle {
                throw error("parts[\(index)].verifier.shuffle", "has no meaning in a part; set it on the whole")
            }
            do {
                let verifier = try makeVerifier(part.verifier, depth: depth + 1)
                made.append(
                    Part(
                        name: part.verifier.kind.rawValue, weight: part.weight, required: part.required,
                        verifier: verifier))
            } catch let inner {
                throw VerifierError(
                    kind: inner.kind, option: "parts[\(index)].verifier.\(inner.option)", problem: inner.problem)
            }
        }
        if !made.contains(where: \.required) {
            throw error("parts", "has no required part, so nothing says what is right; set `required: true` on one")
        }
        parts = made
    }

    func verify(completion: String, answer: String, prompt: String) -> Verdict {
        var score = 0.0
        var isRight = true
        var reasons: [String] = []
        for part in parts {
            let verdict = part.verifier.verify(completion: completion, answer: answer, prompt: prompt)
            if verdict.outcome == .noVerdict { return .noVerdict("\(part.name): \(verdict.reason)") }
            score += part.weight * verdict.score
            if part.required && verdict.outcome != .right { isRight = false }
            reasons.append("\(part.name): \(verdict.reason)")
        }
        let reason = reasons.joined(separator: "; ")
        return isRight ? .right(reason, score: score) : .wrong(reason, score: score)
    }
}
