// The whole path on the real model, from GGUF file to log-probs and greedy text, against transformers' numbers.

import Engine
import Foundation
import Rollouts
import Testing
import Tokenization
import Weights

@testable import Compute

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
private let modelPath = root.appendingPathComponent("models/SmolLM2-135M-Instruct.Q4_1.gguf").path
private let hasModel = FileManager.default.fileExists(atPath: modelPath)

private struct Reference: Decodable {
    struct Greedy: Decodable {
        var messages: [ChatMessage]
        var prompt_text: String
        var prompt_ids: [Int32]
        var greedy_ids: [Int32]
        var greedy_logprobs: [Double]
        var top2_gap: [Double]
        var text: String
    }
    struct Scored: Decodable {
        var text: String
        var ids: [Int32]
        var logprobs: [Double]
        var entropy: [Double]
        var argmax: [Int]
    }
    var greedy: [Greedy]
    var logprobs: [Scored]

    static func load() throws -> Reference {
        let url = try #require(Bundle.module.url(forResource: "Fixtures/smollm2_reference", withExtension: "json"))
        return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: url))
    }
}

/// The model, read once for all tests of this file.
private struct RealModel {
    let tokenizer: Tokenizer
    let model: TransformerModel

    init() throws {
        let source = try ModelSource.open(modelPath)
        guard case .gguf(let fields) = source.tokenizer else { throw ComputeError.text("not a GGUF tokenizer") }
        func identifier(_ key: String) -> Int32? { fields["tokenizer.ggml." + key]?.integer.map(Int32.init) }
        tokenizer = try Tokenizer.gguf(
            model: fields["tokenizer.ggml.model"]?.string ?? "", pre: fields["tokenizer.ggml.pre"]?.string ?? "",
            tokens: fields["tokenizer.ggml.tokens"]?.strings ?? [],
            tokenTypes: fields["tokenizer.ggml.token_type"]?.integers?.map(Int32.init) ?? [],
            merges: fields["tokenizer.ggml.merges"]?.strings ?? [], bos: identifier("bos_token_id"),
            eos: identifier("eos_token_id"), unknown: identifier("unknown_token_id"),
            padding: identifier("padding_token_id"), addBOS: nil, chatTemplate: fields["tokenizer.chat_template"]?.string)
        let parameters = Parameters(config: source.config)
        try source.readAll(into: parameters.all)
        model = TransformerModel(parameters: parameters, threads: ThreadPool(threadCount: 2))
    }
}

/// float32 sums of 576 and 1,536 terms through 30 layers differ by order alone in the sixth digit of a logit;
/// differences of 1e-3 nats are far above that and far below what a wrong layer would make.
private let tolerance = 1e-3

@Suite(.enabled(if: hasModel, "models/SmolLM2-135M-Instruct.Q4_1.gguf is absent: cluster/fetch-model brings it"), .serialized)
struct SmolLM2Tests {
    @Test func `chat prompts, log-probs and greedy choices are those of transformers`() throws {
        let real = try RealModel()
        let reference = try Reference.load()
        #expect(reference.greedy.count == 5)
        for example in reference.greedy {
            #expect(try real.tokenizer.render(example.messages, addGenerationPrompt: true) == example.prompt_text)
            let prompt = try real.tokenizer.encodeChat(example.messages, addGenerationPrompt: true)
            #expect(prompt == example.prompt_ids)
            #expect(real.tokenizer.decode(example.greedy_ids, skipSpecials: false) == example.text)
            let scores = real.model.score(
                [SequenceGroup(prompt: prompt, completions: [example.greedy_ids])], temperature: 1)
            for (position, expected) in example.greedy_logprobs.enumerated() {
                #expect(abs(Double(scores.logProbs[position]) - expected) < tolerance)
            }
        }
        for example in reference.logprobs {
            #expect(real.tokenizer.encode(example.text, specials: true) == example.ids)
            let scores = real.model.score(
                [SequenceGroup(prompt: [example.ids[0]], completions: [Array(example.ids.dropFirst())])], temperature: 1)
            for (position, expected) in example.logprobs.enumerated() {
                #expect(abs(Double(scores.logProbs[position]) - expected) < tolerance)
                #expect(abs(Double(scores.entropies[position]) - example.entropy[position]) < tolerance)
            }
        }
    }

    @Test func `the generator's greedy text is that of transformers where the choice is clear`() throws {
        let real = try RealModel()
        let generator = Generator(
            backend: Decoder(model: real.model), batchLimit: 8, decode: { real.tokenizer.bytes(of: $0) })
        let examples = try Reference.load().greedy
        for (index, example) in examples.enumerated() {
            var sampling = SamplingOptions()
            sampling.temperature = 0
            sampling.maxNewTokens = example.greedy_ids.count
            generator.submit(
                GenerationRequest(
                    identifier: UInt64(index), key: GroupKey(purpose: .evaluation, step: 0, ordinal: index),
                    prompt: example.prompt_ids, completionIndices: [0], sampling: sampling, seed: 1, version: .base,
                    endTokens: real.tokenizer.endTokens))
        }
        var finished = 0
        while !generator.isIdle {
            for case .finished(let identifier, let completions) in generator.step() {
                let example = examples[Int(identifier)]
                // After a step with a tiny gap the texts may rightly part.
                let clear = example.top2_gap.firstIndex { $0 < 0.02 } ?? example.greedy_ids.count
                #expect(completions[0].tokens.prefix(clear) == example.greedy_ids.prefix(clear))
                finished += 1
            }
        }
        #expect(finished == examples.count)
    }
}
