// What does a Hugging Face config.json say about the model's shape? Defaults are those of transformers' config classes.

package enum HuggingFaceConfig {
    static let architectures: [(String, ModelFamily)] = [
        ("LlamaForCausalLM", .llama), ("Qwen2ForCausalLM", .qwen2), ("Qwen3ForCausalLM", .qwen3),
    ]

    package static func parse(_ bytes: [UInt8], file: String) throws(WeightsError) -> ModelConfig {
        guard let members = try JSONReader.read(bytes, file: file, subject: "config").object else {
            throw WeightsError(file: file, subject: "config", found: "other JSON", expected: "an object")
        }
        let keys = JSONKeys(file: file, members: members)
        let family = try family(keys)
        try refuseVariants(keys, family: family)
        let hiddenSize = try keys.integer("hidden_size")
        let headCount = try keys.integer("num_attention_heads")
        let stated = try keys.optionalInteger("head_dim") ?? (family == .qwen3 ? 128 : nil)
        guard headCount > 0, stated != nil || hiddenSize % headCount == 0 else {
            throw keys.error("num_attention_heads", expected: "a divisor of hidden_size, \(hiddenSize)")
        }
        let contextTokens = try keys.integer("max_position_embeddings")
        let rotary = try HuggingFaceRotary(keys, contextTokens: contextTokens)
        return try ModelConfig(
            family: family, vocabularySize: keys.integer("vocab_size"), hiddenSize: hiddenSize,
            layerCount: keys.integer("num_hidden_layers"), headCount: headCount,
            keyValueHeadCount: keys.optionalInteger("num_key_value_heads") ?? (family == .llama ? headCount : 32),
            headDimension: stated ?? hiddenSize / headCount, intermediateSize: keys.integer("intermediate_size"),
            rmsEpsilon: Float(keys.optionalDouble("rms_norm_eps") ?? 1e-6), rotaryBase: rotary.base,
            rotaryScaling: rotary.scaling, contextTokens: contextTokens,
            tiedEmbeddings: keys.optionalBool("tie_word_embeddings") ?? false
        ).validated(file: file)
    }

    private static func family(_ keys: JSONKeys) throws(WeightsError) -> ModelFamily {
        let known = architectures.map(\.0).joined(separator: ", ")
        if keys.value("architectures") != nil {
            let name = keys.value("architectures")?.array?.first?.string
            guard let match = architectures.first(where: { $0.0 == name }) else {
                throw keys.error("architectures", found: name.map { quoted($0) }, expected: "one of \(known)")
            }
            return match.1
        }
        guard let name = keys.value("model_type")?.string, let family = ModelFamily(rawValue: name) else {
            throw keys.error("model_type", expected: "the family of one of \(known)")
        }
        return family
    }

    /// Settings that change what the model computes.
    private static func refuseVariants(_ keys: JSONKeys, family: ModelFamily) throws(WeightsError) {
        let activation = try keys.optionalString("hidden_act") ?? "silu"
        guard activation == "silu" else {
            throw keys.error("hidden_act", expected: "silu: other activations are not supported")
        }
        if family != .qwen2, try keys.optionalBool("attention_bias") == true {
            throw keys.error(
                "attention_bias", expected: "false: \(family.rawValue) models with attention biases are not supported")
        }
        if try keys.optionalBool("mlp_bias") == true {
            throw keys.error("mlp_bias", expected: "false: biases in the MLP are not supported")
        }
        if try keys.optionalBool("use_sliding_window") == true {
            throw keys.error("use_sliding_window", expected: "false: sliding-window attention is not supported")
        }
        if let kinds = keys.value("layer_types")?.array, kinds.contains(where: { $0.string != "full_attention" }) {
            throw keys.error("layer_types", found: "other layers", expected: "full_attention alone")
        }
        if keys.value("quantization_config") != nil {
            throw keys.error(
                "quantization_config",
                expected: "none: packed weights are not read; use the unquantised model or a GGUF")
        }
    }
}

/// Rotary base and scaling, from `rope_parameters` (newer files) or `rope_theta` and `rope_scaling`.
struct HuggingFaceRotary {
    let base: Double
    let scaling: RotaryScaling?

    init(_ keys: JSONKeys, contextTokens: Int) throws(WeightsError) {
        let newer = try keys.optionalObject("rope_parameters")
        let older = try keys.optionalObject("rope_scaling")
        let scaling = newer ?? older
        let olderBase = try keys.optionalDouble("rope_theta")
        base = try newer?.optionalDouble("rope_theta") ?? olderBase ?? 10_000
        for place in [keys, scaling].compactMap({ $0 }) {
            if let share = try place.optionalDouble("partial_rotary_factor"), share != 1 {
                throw place.error("partial_rotary_factor", expected: "1: partly rotated heads are not supported")
            }
        }
        self.scaling = try scaling.flatMap { keys throws(WeightsError) in
            try HuggingFaceRotary.scaling(keys, contextTokens: contextTokens)
        }
    }

    private static func scaling(_ keys: JSONKeys, contextTokens: Int) throws(WeightsError) -> RotaryScaling? {
        let olderKind = try keys.optionalString("type")
        let kind = try keys.optionalString("rope_type") ?? olderKind ?? "default"
        switch kind {
        case "default": return nil
        case "linear": return .linear(factor: try keys.double("factor"))
        case "llama3":
            return try .llama3(
                factor: keys.double("factor"), lowFrequencyFactor: keys.double("low_freq_factor"),
                highFrequencyFactor: keys.double("high_freq_factor"),
                originalContextTokens: keys.integer("original_max_position_embeddings"))
        case "yarn":
            if try keys.optionalBool("truncate") == false {
                throw keys.error("truncate", expected: "true: YaRN without whole boundaries is not supported")
            }
            let factor = try keys.double("factor")
            return try .yarn(
                factor: factor, betaFast: keys.optionalDouble("beta_fast") ?? 32,
                betaSlow: keys.optionalDouble("beta_slow") ?? 1,
                originalContextTokens: keys.optionalInteger("original_max_position_embeddings") ?? contextTokens,
                attentionFactor: attentionFactor(keys, factor: factor))
        default:
            throw keys.error("rope_type", found: quoted(kind), expected: "default, linear, llama3 or yarn")
        }
    }

    private static func attentionFactor(_ keys: JSONKeys, factor: Double) throws(WeightsError) -> Double? {
        if let stated = try keys.optionalDouble("attention_factor") { return stated }
        guard let scale = try keys.optionalDouble("mscale"), let scaleAll = try keys.optionalDouble("mscale_all_dim"),
            scale != 0, scaleAll != 0
        else { return nil }
        // mscale m stands for 0.1·m·ln(factor) + 1.
        let logarithm = RotaryScaling.yarnAttentionFactor(factor) - 1
        return (scale * logarithm + 1) / (scaleAll * logarithm + 1)
    }
}

/// Typed look-ups in a JSON object; null counts as absent.
struct JSONKeys {
    let file: String
    var path = ""
    let members: [String: JSONValue]

    init(file: String, path: String = "", members: [String: JSONValue]) {
        self.file = file
        self.path = path
        self.members = members
    }

    func value(_ key: String) -> JSONValue? { members[key] == .null ? nil : members[key] }

    func error(_ key: String, found: String? = nil, expected: String) -> WeightsError {
        WeightsError(
            file: file, subject: "key `\(path)\(key)`", found: found ?? value(key)?.kind ?? "none", expected: expected)
    }

    func integer(_ key: String) throws(WeightsError) -> Int { try required(optionalInteger(key), key, "an integer") }
    func double(_ key: String) throws(WeightsError) -> Double { try required(optionalDouble(key), key, "a number") }

    func optionalInteger(_ key: String) throws(WeightsError) -> Int? { try optional(key, "an integer") { $0.integer } }
    func optionalDouble(_ key: String) throws(WeightsError) -> Double? { try optional(key, "a number") { $0.double } }
    func optionalString(_ key: String) throws(WeightsError) -> String? { try optional(key, "text") { $0.string } }
    func optionalBool(_ key: String) throws(WeightsError) -> Bool? { try optional(key, "true or false") { $0.bool } }
    func optionalObject(_ key: String) throws(WeightsError) -> JSONKeys? {
        try optional(key, "an object") { $0.object }.map { JSONKeys(file: file, path: "\(path)\(key).", members: $0) }
    }

    private func required<Value>(_ value: Value?, _ key: String, _ expected: String) throws(WeightsError) -> Value {
        guard let value else { throw error(key, expected: expected) }
        return value
    }

    private func optional<Value>(
        _ key: String, _ expected: String, _ extract: (JSONValue) -> Value?
    ) throws(WeightsError) -> Value? {
        guard let value = value(key) else { return nil }
        guard let extracted = extract(value) else { throw error(key, expected: expected) }
        return extracted
    }
}
