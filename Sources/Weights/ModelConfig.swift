// What a model file says about its architecture, whichever format it came in.

package enum ModelFamily: String, Sendable, Codable, CaseIterable {
    case llama
    /// Llama with biases on the query, key and value projections.
    case qwen2
    /// Llama with RMSNorm over head_dim on queries and keys before the rotary embedding, and its own head_dim.
    case qwen3
}

/// Rotary frequencies changed for longer contexts. Source: Hugging Face transformers, `modeling_rope_utils.py`.
package enum RotaryScaling: Equatable, Sendable, Codable {
    case linear(factor: Double)
    /// Llama 3.1 and later.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContextTokens: Int)
    /// Source: arXiv:2309.00071. `attentionFactor` nil: 0.1·ln(factor) + 1.
    case yarn(
        factor: Double, betaFast: Double, betaSlow: Double, originalContextTokens: Int, attentionFactor: Double?)
}

/// Architecture of a decoder-only transformer: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
package struct ModelConfig: Equatable, Sendable, Codable {
    package var family: ModelFamily
    package var vocabularySize: Int
    package var hiddenSize: Int
    package var layerCount: Int
    package var headCount: Int
    package var keyValueHeadCount: Int
    package var headDimension: Int
    package var intermediateSize: Int
    package var rmsEpsilon: Float
    package var rotaryBase: Double
    package var rotaryScaling: RotaryScaling?
    package var contextTokens: Int
    /// The output head is the embedding table.
    package var tiedEmbeddings: Bool

    package var hasQueryKeyValueBias: Bool { family == .qwen2 }
    package var hasQueryKeyNorm: Bool { family == .qwen3 }

    package init(
        family: ModelFamily, vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int,
        keyValueHeadCount: Int, headDimension: Int, intermediateSize: Int, rmsEpsilon: Float, rotaryBase: Double,
        rotaryScaling: RotaryScaling? = nil, contextTokens: Int, tiedEmbeddings: Bool
    ) {
        self.family = family
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.intermediateSize = intermediateSize
        self.rmsEpsilon = rmsEpsilon
        self.rotaryBase = rotaryBase
        self.rotaryScaling = rotaryScaling
        self.contextTokens = contextTokens
        self.tiedEmbeddings = tiedEmbeddings
    }

    /// Every tensor by its Hugging Face name with its row-major shape, in the one order used everywhere
    /// (snapshots, hashes, optimizer state): embedding, layers from 0, final norm, head.
    package var tensors: [TensorShape] {
        let queryRows = headCount * headDimension
        let keyRows = keyValueHeadCount * headDimension
        var list = [TensorShape("model.embed_tokens.weight", [vocabularySize, hiddenSize])]
        for layer in 0..<layerCount {
            let prefix = "model.layers.\(layer)."
            list.append(TensorShape(prefix + "input_layernorm.weight", [hiddenSize]))
            list.append(TensorShape(prefix + "self_attn.q_proj.weight", [queryRows, hiddenSize]))
            list.append(TensorShape(prefix + "self_attn.k_proj.weight", [keyRows, hiddenSize]))
            list.append(TensorShape(prefix + "self_attn.v_proj.weight", [keyRows, hiddenSize]))
            if hasQueryKeyValueBias {
                list.append(TensorShape(prefix + "self_attn.q_proj.bias", [queryRows]))
                list.append(TensorShape(prefix + "self_attn.k_proj.bias", [keyRows]))
                list.append(TensorShape(prefix + "self_attn.v_proj.bias", [keyRows]))
            }
            if hasQueryKeyNorm {
                list.append(TensorShape(prefix + "self_attn.q_norm.weight", [headDimension]))
                list.append(TensorShape(prefix + "self_attn.k_norm.weight", [headDimension]))
            }
            list.append(TensorShape(prefix + "self_attn.o_proj.weight", [hiddenSize, queryRows]))
            list.append(TensorShape(prefix + "post_attention_layernorm.weight", [hiddenSize]))
            list.append(TensorShape(prefix + "mlp.gate_proj.weight", [intermediateSize, hiddenSize]))
            list.append(TensorShape(prefix + "mlp.up_proj.weight", [intermediateSize, hiddenSize]))
            list.append(TensorShape(prefix + "mlp.down_proj.weight", [hiddenSize, intermediateSize]))
        }
        list.append(TensorShape("model.norm.weight", [hiddenSize]))
        if !tiedEmbeddings { list.append(TensorShape("lm_head.weight", [vocabularySize, hiddenSize])) }
        return list
    }
}

package struct TensorShape: Hashable, Sendable, Codable {
    package var name: String
    /// Row-major, outermost first; a linear layer's weight is (out, in).
    package var dimensions: [Int]
    package init(_ name: String, _ dimensions: [Int]) {
        self.name = name
        self.dimensions = dimensions
    }
    package var elementCount: Int { dimensions.reduce(1, *) }
}
