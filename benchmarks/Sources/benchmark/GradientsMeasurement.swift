// One step's gradient computed in both arithmetics in this process: prints its readings as one line.

import ArgumentParser
import Engine
import Foundation
import Measurement
import PolicyOptimization
import Rollouts
import Tokenization

struct GradientsMeasurement: ParsableCommand {
    static let name = "measure-gradients"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @OptionGroup var options: CommonOptions
    /// Where the batch is written, for a peer.
    @Option var batch: String
    @Option var number: Int

    func run() throws {
        let model = try BenchmarkModel(
            path: options.model, threads: options.threads, precision: .bfloat16, for: .learning)
        let sums = SumBatch(groups: options.quick ? 2 : 8, number: number)
        let groups = try sums.sample(model, tokenizer: try BenchmarkModel.tokenizer(of: options.model))
        try JSONEncoder().encode(groups).write(to: URL(fileURLWithPath: batch))

        let exact = gradient(of: groups, model.transformer())
        let reference = gradient(
            of: groups,
            TransformerModel(parameters: model.parameters, threads: model.threads, arithmetic: .float32))
        var cosines: [Double] = []
        var whole = Products()
        for index in model.parameters.config.tensors.indices {
            let products = Products(exact.slice(at: index), reference.slice(at: index))
            cosines.append(products.cosine)
            whole.add(products)
            if products.cosine < 0.999 {
                progress("  \(model.parameters.config.tensors[index].name): \(products.cosine)")
            }
        }
        cosines.sort()
        print(
            Readings([
                "from_1_whole": [1 - whole.cosine], "from_1_median": [1 - Spread(cosines)!.median],
                "from_1_most": [1 - cosines[0]],
                "tensors_from_0.999": [Double(cosines.count { $0 >= 0.999 }) / Double(cosines.count)],
                "tensors": [Double(cosines.count)],
                "tokens": [Double(groups.reduce(0) { $0 + $1.tokenCount })],
                "norm_ratio": [(whole.first / whole.second).squareRoot()],
            ]).line)
    }

    private func gradient(of groups: [RewardedGroup], _ transformer: TransformerModel) -> Parameters {
        let trainer = Trainer(model: transformer, options: OptimizerOptions())
        let tokens = groups.reduce(0) { $0 + $1.tokenCount }
        for group in groups {
            trainer.accumulate(
                [SequenceGroup(prompt: group.prompt, completions: group.completions)], temperature: 1
            ) { scores in
                // ∂loss/∂log-prob of on-policy GRPO: minus the advantage over the number of tokens.
                let gradient = zip(group.completions, group.advantages).flatMap { completion, advantage in
                    completion.map { _ in Float(-advantage / Double(tokens)) }
                }
                precondition(gradient.count == scores.logProbs.count, "a score for each sampled token")
                return TokenGradients(logProbs: gradient, entropies: nil)
            }
        }
        return trainer.gradients
    }
}

/// Completions of one prompt with advantages that are not all zero.
struct RewardedGroup: Codable {
    var prompt: [Int32]
    var completions: [[Int32]]
    var advantages: [Double]

    var tokenCount: Int { completions.reduce(0) { $0 + $1.count } }
}

/// Sums of two numbers from 1 to 5, answered by the model.
private struct SumBatch {
    let groups: Int
    let number: Int

    private static let groupSize = 8
    /// Prompts that were all answered rightly, or all wrongly, teach nothing: others are asked.
    private static let most = 64

    func sample(_ model: BenchmarkModel, tokenizer: Tokenizer) throws -> [RewardedGroup] {
        let decoder = Decoder(model: model.transformer(), pages: PagePool(config: model.parameters.config))
        let generator = Generator(
            backend: decoder, batchLimit: Self.groupSize, threadCount: model.threads.threadCount,
            parallel: model.threads.parallel, decode: { tokenizer.bytes(of: $0) })
        var found: [RewardedGroup] = []
        for ordinal in 0..<Self.most where found.count < groups {
            let terms = (0..<2).map {
                1 + KeyedRandom.integer(
                    below: 5, seed: 1, use: .generatedTask, UInt64(number * Self.most + ordinal), UInt64($0))
            }
            let prompt = try tokenizer.encodeChat(
                [ChatMessage(role: "user", content: "What is \(terms[0]) + \(terms[1])? Answer with the number only.")],
                addGenerationPrompt: true)
            var sampling = SamplingOptions()
            sampling.maxNewTokens = 32
            generator.submit(
                GenerationRequest(
                    identifier: UInt64(ordinal), key: GroupKey(purpose: .training, step: number, ordinal: ordinal),
                    prompt: prompt, completionIndices: Array(0..<Self.groupSize), sampling: sampling, seed: 1,
                    version: .base, endTokens: tokenizer.eos.map { [$0] } ?? []))
            var completions: [GeneratedCompletion] = []
            while !generator.isIdle {
                for case .finished(_, let finished) in generator.step() { completions += finished }
            }
            guard completions.count == Self.groupSize else { throw BenchmarkError("a prompt could not be sampled") }
            let rewards = completions.map { completion in
                let text = String(decoding: completion.textBytes, as: UTF8.self)
                let last = text.split { !$0.isWholeNumber }.last.flatMap { UInt64($0) }
                return last == terms[0] + terms[1] ? 1.0 : 0
            }
            guard Set(rewards).count > 1 else { continue }
            found.append(
                RewardedGroup(
                    prompt: prompt, completions: completions.map(\.tokens),
                    advantages: standardizedAdvantages(rewards)))
        }
        guard found.count == groups else {
            throw BenchmarkError("only \(found.count) of \(Self.most) prompts had right and wrong answers")
        }
        return found
    }
}

/// Sums of squares and of products of two lists.
private struct Products {
    var first = 0.0, second = 0.0, mixed = 0.0

    init() {}

    init(_ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>) {
        for (x, y) in zip(a, b) {
            first += Double(x) * Double(x)
            second += Double(y) * Double(y)
            mixed += Double(x) * Double(y)
        }
    }

    mutating func add(_ other: Products) {
        first += other.first
        second += other.second
        mixed += other.mixed
    }

    var cosine: Double { mixed / (first * second).squareRoot() }
}
