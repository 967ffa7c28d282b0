// What does a GGUF file's metadata say about the model's shape?

/// Reads the keys `{architecture}.…`.
struct GGUFArchitecture {
    private let path: String
    private let metadata: [String: GGUFValue]
    private let family: ModelFamily

    init(file: GGUFFile) throws(WeightsError) {
        path = file.path
        metadata = file.metadata
        let name = file.metadata["general.architecture"]?.string
        guard let name, let family = ModelFamily(rawValue: name) else {
            throw WeightsError(
                file: file.path, subject: "metadata key `general.architecture`",
                found: name.map { quoted($0) } ?? "no text",
                expected: "one of " + ModelFamily.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.family = family
    }

    func config(tensors: [String: GGUFFile.Tensor]) throws(WeightsError) -> ModelConfig {
        try refuseVariants()
        guard let embedding = tensors[GGUFNaming.embedding], embedding.dimensions.count == 2 else {
            throw WeightsError(
                file: path, subject: "tensor `\(GGUFNaming.embedding)`", found: "none of two dimensions",
                expected: "(vocabulary, hidden)")
        }
        let hiddenSize = try integer("embedding_length")
        let headCount = try integer("attention.head_count")
        let keyLength = try optionalInteger("attention.key_length")
        guard headCount > 0, keyLength != nil || hiddenSize % headCount == 0 else {
            throw error("attention.head_count", found: "\(headCount)", expected: "a divisor of \(hiddenSize)")
        }
        let headDimension = keyLength ?? hiddenSize / headCount
        for key in ["attention.value_length", "rope.dimension_count"] {
            let length = try optionalInteger(key) ?? headDimension
            guard length == headDimension else {
                throw error(key, found: "\(length)", expected: "the head dimension, \(headDimension)")
            }
        }
        return try ModelConfig(
            family: family, vocabularySize: embedding.dimensions[0], hiddenSize: hiddenSize,
            layerCount: integer("block_count"), headCount: headCount,
            keyValueHeadCount: optionalInteger("attention.head_count_kv") ?? headCount, headDimension: headDimension,
            intermediateSize: integer("feed_forward_length"), rmsEpsilon: epsilon(),
            rotaryBase: optionalDouble("rope.freq_base") ?? 10_000, rotaryScaling: scaling(),
            contextTokens: integer("context_length"), tiedEmbeddings: tensors[GGUFNaming.head] == nil
        ).validated(file: path)
    }

    /// Keys that change what the model computes.
    private func refuseVariants() throws(WeightsError) {
        for key in ["expert_count", "attention.scale", "logit_scale", "embedding_scale", "residual_scale"] {
            let value = try optionalDouble(key) ?? 0
            guard value == 0 else {
                throw error(key, found: "\(value)", expected: "none: this variant is not supported")
            }
        }
        if let window = try optionalInteger("attention.sliding_window"), window > 0,
            window < (try integer("context_length"))
        {
            throw error("attention.sliding_window", found: "\(window)", expected: "attention over the whole context")
        }
        if let causal = metadata[key("attention.causal")], causal.bool != true {
            throw error("attention.causal", found: "\(causal)", expected: "causal attention")
        }
    }

    private func epsilon() throws(WeightsError) -> Float {
        guard let value = try optionalDouble("attention.layer_norm_rms_epsilon") else {
            throw error("attention.layer_norm_rms_epsilon", found: "none", expected: "a number")
        }
        return Float(value)
    }

    private func scaling() throws(WeightsError) -> RotaryScaling? {
        let kind = try optionalString("rope.scaling.type")
        let factor = try firstDouble(["rope.scaling.factor", "rope.scale_linear"])
        switch kind {
        case nil, "none":
            guard kind == nil, let factor, factor != 1 else { return nil }
            return .linear(factor: factor)
        case "linear":
            return .linear(factor: try required(factor, "rope.scaling.factor"))
        case "yarn":
            let factor = try required(factor, "rope.scaling.factor")
            let multiplier = try firstDouble(["rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"])
            return .yarn(
                factor: factor, betaFast: try optionalDouble("rope.scaling.yarn_beta_fast") ?? 32,
                betaSlow: try optionalDouble("rope.scaling.yarn_beta_slow") ?? 1,
                originalContextTokens: try integer("rope.scaling.original_context_length"),
                attentionFactor: multiplier.map { $0 * RotaryScaling.yarnAttentionFactor(factor) })
        case .some(let other):
            throw error("rope.scaling.type", found: quoted(other), expected: "none, linear or yarn")
        }
    }

    private func firstDouble(_ suffixes: [String]) throws(WeightsError) -> Double? {
        for suffix in suffixes {
            if let value = try optionalDouble(suffix) { return value }
        }
        return nil
    }

    private func required(_ value: Double?, _ key: String) throws(WeightsError) -> Double {
        guard let value else { throw error(key, found: "none", expected: "a number") }
        return value
    }

    private func key(_ suffix: String) -> String { "\(family.rawValue).\(suffix)" }

    private func error(_ suffix: String, found: String, expected: String) -> WeightsError {
        WeightsError(file: path, subject: "metadata key `\(key(suffix))`", found: found, expected: expected)
    }

    private func integer(_ suffix: String) throws(WeightsError) -> Int {
        guard let value = try optionalInteger(suffix) else {
            throw error(suffix, found: "none", expected: "an integer")
        }
        return value
    }

    private func optionalInteger(_ suffix: String) throws(WeightsError) -> Int? {
        guard let value = metadata[key(suffix)] else { return nil }
        guard let integer = value.integer else {
            throw error(suffix, found: "a value of type \(value.type)", expected: "one integer for the whole model")
        }
        return integer
    }

    private func optionalDouble(_ suffix: String) throws(WeightsError) -> Double? {
        guard let value = metadata[key(suffix)] else { return nil }
        guard let number = value.double else {
            throw error(suffix, found: "a value of type \(value.type)", expected: "a number")
        }
        return number
    }

    private func optionalString(_ suffix: String) throws(WeightsError) -> String? {
        guard let value = metadata[key(suffix)] else { return nil }
        guard let text = value.string else {
            throw error(suffix, found: "a value of type \(value.type)", expected: "text")
        }
        return text
    }
}
