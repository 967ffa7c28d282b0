// Models and helpers for tests of what must hold whatever the weights are.
import Engine
import Rollouts
import Weights

/// Sizes that are no multiple of a vector, for each family; tied and untied.
let oddModels: [ModelConfig] = [
    ModelConfig(
        family: .llama, vocabularySize: 301, hiddenSize: 40, layerCount: 3, headCount: 4, keyValueHeadCount: 2,
        headDimension: 10, intermediateSize: 52, rmsEpsilon: 1e-5, rotaryBase: 10000, contextTokens: 2048,
        tiedEmbeddings: true),
    ModelConfig(
        family: .qwen2, vocabularySize: 67, hiddenSize: 24, layerCount: 2, headCount: 6, keyValueHeadCount: 2,
        headDimension: 4, intermediateSize: 33, rmsEpsilon: 1e-6, rotaryBase: 1e6, contextTokens: 2048,
        tiedEmbeddings: false),
    ModelConfig(
        family: .qwen3, vocabularySize: 130, hiddenSize: 36, layerCount: 2, headCount: 3, keyValueHeadCount: 1,
        headDimension: 24, intermediateSize: 70, rmsEpsilon: 1e-6, rotaryBase: 1e6, contextTokens: 2048,
        tiedEmbeddings: true),
]

extension ModelConfig {
    /// Random weights; norms and biases too, so that their gradients count.
    func randomModel(
        threadCount: Int = 2, scale: Float = 0.25, arithmetic: Arithmetic = .float32, retainedLogitBytes: Int = 1 << 30
    ) -> TransformerModel {
        let parameters = Parameters(config: self)
        parameters.initializeRandom(seed: 5, standardDeviation: scale)
        var numbers = NumberSource(12)
        for (index, tensor) in tensors.enumerated() where tensor.dimensions.count == 1 {
            let values = parameters.slice(at: index)
            for i in values.indices { values[i] += 0.3 * numbers.float() }
        }
        return TransformerModel(
            parameters: parameters, threads: ThreadPool(threadCount: threadCount), arithmetic: arithmetic,
            retainedLogitBytes: retainedLogitBytes)
    }

    /// Two groups: prompts of 19 and 1 tokens, completions from 1 to 34 tokens.
    func exampleGroups() -> [SequenceGroup] {
        var numbers = NumberSource(13)
        return [(19, [7, 1, 34]), (1, [5, 16])].map { prompt, completions in
            SequenceGroup(
                prompt: numbers.tokens(prompt, below: vocabularySize),
                completions: completions.map { numbers.tokens($0, below: vocabularySize) })
        }
    }
}

/// The same sequences without sharing: one group per completion.
func unshared(_ groups: [SequenceGroup]) -> [SequenceGroup] {
    groups.flatMap { group in group.completions.map { SequenceGroup(prompt: group.prompt, completions: [$0]) } }
}

/// A loss that weighs every token's log-prob and entropy differently: weights from `seed`, by score index.
func mixedGradients(_ count: Int, seed: UInt64 = 14) -> TokenGradients {
    var numbers = NumberSource(seed)
    return TokenGradients(logProbs: numbers.floats(count), entropies: numbers.floats(count, scale: 0.3))
}
