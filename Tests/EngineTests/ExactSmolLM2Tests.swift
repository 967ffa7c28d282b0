// Does a real model's learner see its sampler's log-probs bit for bit?
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// SmolLM2-135M where a checkout has it: models/ is not part of the repository.
enum SmolLM2 {
    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../models/SmolLM2-135M-Instruct.Q4_1.gguf").standardized.path

    static var isPresent: Bool { FileManager.default.fileExists(atPath: path) }

    static func parameters() throws -> Parameters {
        let source = try ModelSource.open(path)
        let parameters = Parameters(config: source.config)
        try source.readAll(into: parameters.all)
        return parameters
    }

    /// Token ids without meaning: exactness does not depend on what a text says.
    static func prompts(_ lengths: [Int]) -> [[Int32]] {
        var numbers = NumberSource(40)
        return lengths.map { numbers.tokens($0, below: 40_000) }
    }
}

@Suite(.enabled(if: SmolLM2.isPresent, "models/SmolLM2-135M-Instruct.Q4_1.gguf is not here"))
struct ExactSmolLM2Tests {
    /// ROOKERY_EXACT_TOKENS asks for more than the usual 2,040 tokens.
    @Test func `SmolLM2's learner sees its sampler's log-probs bit for bit`() throws {
        let wanted = ProcessInfo.processInfo.environment["ROOKERY_EXACT_TOKENS"].flatMap(Int.init) ?? 2040
        let parameters = try SmolLM2.parameters()
        let arithmetic = try Arithmetic(.bfloat16)
        let sampler = TransformerModel(parameters: parameters, threads: ThreadPool(threadCount: 2), arithmetic: arithmetic)
        let perCompletion = max(1, wanted / 12)
        let groups = generate(
            sampler, SmolLM2.prompts([5, 32, 45]), groupSize: 4, tokens: perCompletion, temperature: 0.9)
        let logProbs = groups.flatMap { $0.completions.flatMap(\.policyLogProbs) }
        let entropies = groups.flatMap { $0.completions.flatMap(\.entropies) }
        #expect(logProbs.count == 12 * perCompletion)
        let learner = Trainer(
            model: TransformerModel(parameters: parameters, threads: ThreadPool(threadCount: 1), arithmetic: arithmetic),
            options: OptimizerOptions())
        learner.accumulate(groups.map(\.group), units: [1, 1, 1], temperature: 0.9) { scores in
            #expect(largestDifference(scores.logProbs, logProbs) == 0)
            #expect(largestDifference(scores.entropies, entropies) == 0)
            return TokenGradients(logProbs: scores.logProbs.map { _ in -1 / Float(logProbs.count) })
        }
    }
}
