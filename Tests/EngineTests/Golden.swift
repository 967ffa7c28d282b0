// The golden models and what an independent float64 implementation says about them.
import Engine
import Foundation
import Rollouts
import Testing
import Weights

struct Golden {
    struct Input: Decodable {
        var ids: [Int32]
        var token_logprobs: [Double]
        var entropy: [Double]
        var greedy_16: [Int32]
    }
    struct AdamW: Decodable {
        var lr, eps, weight_decay, clip_global_norm: Double
        var betas: [Double]
        var loss_before_step_0_to_5: [Double]
        var grad_norm_before_clip: [Double]
        var param_l2_after: [String: Double]
        var param_first4_after: [String: [Double]]
    }
    private struct Reference: Decodable {
        var inputs: [Input]
        var loss, grad_global_l2: Double
        var adamw: AdamW
    }
    private struct Config: Decodable {
        var model_type: ModelFamily
        var vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads: Int
        var num_key_value_heads, max_position_embeddings: Int
        var head_dim: Int?
        var rms_norm_eps: Float
        var rope_theta: Double
        var tie_word_embeddings: Bool
    }

    let config: ModelConfig
    let inputs: [Input]
    let loss, gradientNorm: Double
    let adamw: AdamW
    let tensors: [String: [Float]]
    private let weights: [String: [Float]]

    init(_ family: ModelFamily) throws {
        let folder = try #require(Bundle.module.resourceURL)
            .appendingPathComponent("Fixtures/\(family.rawValue)")
        let file = try JSONDecoder().decode(
            Config.self, from: Data(contentsOf: folder.appendingPathComponent("config.json")))
        config = ModelConfig(
            family: file.model_type, vocabularySize: file.vocab_size, hiddenSize: file.hidden_size,
            layerCount: file.num_hidden_layers, headCount: file.num_attention_heads,
            keyValueHeadCount: file.num_key_value_heads,
            headDimension: file.head_dim ?? file.hidden_size / file.num_attention_heads,
            intermediateSize: file.intermediate_size, rmsEpsilon: file.rms_norm_eps, rotaryBase: file.rope_theta,
            contextTokens: file.max_position_embeddings, tiedEmbeddings: file.tie_word_embeddings)
        let reference = try JSONDecoder().decode(
            Reference.self, from: Data(contentsOf: folder.appendingPathComponent("reference.json")))
        inputs = reference.inputs
        loss = reference.loss
        gradientNorm = reference.grad_global_l2
        adamw = reference.adamw
        tensors = try SafetensorsFile(folder.appendingPathComponent("reference.safetensors")).tensors
        weights = try SafetensorsFile(folder.appendingPathComponent("model.safetensors")).tensors
    }

    /// A fresh model with the golden weights.
    func model(threadCount: Int = 2, arithmetic: Arithmetic = .float32) throws -> TransformerModel {
        let parameters = Parameters(config: config)
        for tensor in config.tensors {
            let values = try #require(weights[tensor.name], "no \(tensor.name)")
            #expect(values.count == tensor.elementCount)
            _ = parameters[tensor.name].update(from: values)
        }
        return TransformerModel(
            parameters: parameters, threads: ThreadPool(threadCount: threadCount), arithmetic: arithmetic)
    }

    /// Each input as a prompt of one token and a completion of the others: every token but the first is scored.
    var groups: [SequenceGroup] {
        inputs.map { SequenceGroup(prompt: [$0.ids[0]], completions: [Array($0.ids.dropFirst())]) }
    }

    /// One micro-batch of the golden loss: cross-entropy averaged over all scored tokens. Returns the loss.
    func accumulate(_ trainer: Trainer) -> Double {
        var loss = 0.0
        trainer.accumulate(groups, temperature: 1) { scores in
            loss = -scores.logProbs.reduce(0) { $0 + Double($1) } / Double(scores.logProbs.count)
            return TokenGradients(
                logProbs: scores.logProbs.map { _ in -1 / Float(scores.logProbs.count) })
        }
        return loss
    }
}

/// Largest |a − b|; NaN when either holds one.
func largestDifference(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
    precondition(a.count == b.count, "\(a.count) and \(b.count) numbers")
    var largest: Float = 0
    for (x, y) in zip(a, b) {
        let difference = abs(x - y)
        if !(difference <= largest) { largest = difference }
    }
    return largest
}
