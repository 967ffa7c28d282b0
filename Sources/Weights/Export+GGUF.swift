// How does a trained model become a GGUF file that llama.cpp loads? Source: the GGUF specification, version 3.

extension Export {
    /// Norms and biases are written as F32 whatever the format, as llama.cpp wants them.
    /// - Parameters:
    ///   - name: `general.name`.
    ///   - parameters: all tensors back to back in the config's order.
    ///   - tokenizerMetadata: the keys `tokenizer.…`, in order.
    package static func gguf(
        config: ModelConfig, parameters: UnsafeBufferPointer<Float>, format: FloatFormat, name: String,
        tokenizerMetadata: [(String, GGUFValue)], to path: String
    ) throws(WeightsError) {
        precondition(
            parameters.count == config.elementCount,
            "\(parameters.count) parameters for a model of \(config.elementCount)")
        let factors = try rotaryFactors(config, file: path)
        var metadata = GGUFMetadata.keys(config: config, format: format, name: name)
        for (key, value) in tokenizerMetadata {
            guard !metadata.contains(where: { $0.0 == key }) else {
                throw WeightsError(
                    file: path, subject: "metadata key \(quoted(key))", found: "it twice", expected: "it once")
            }
            metadata.append((key, value))
        }
        var plans = config.tensors.map { GGUFTensorPlan($0, config: config, format: format) }
        if let factors { plans.insert(GGUFTensorPlan(rotaryFactors: factors.count), at: 1) }
        let header = GGUFTensorPlan.header(metadata: metadata, plans: plans)
        let dataBytes = plans.reduce(0) { $0 + $1.paddedBytes }
        let (directory, fileName) = split(path)
        let file = try TemporaryFile(in: directory, expectedBytes: header.count + dataBytes)
        try file.write(header)
        var start = 0
        for plan in plans {
            guard let shape = plan.shape else {
                try plan.write(factors ?? [], to: file)
                continue
            }
            let values = UnsafeBufferPointer(rebasing: parameters[start..<start + shape.elementCount])
            try plan.write(values, to: file, named: path)
            start += shape.elementCount
        }
        try file.commit(as: fileName)
    }

    /// llama.cpp reads frequency divisors in its llama architecture alone.
    private static func rotaryFactors(_ config: ModelConfig, file: String) throws(WeightsError) -> [Float]? {
        guard let scaling = config.rotaryScaling,
            let factors = RotaryFactors.tensor(scaling, base: config.rotaryBase, headDimension: config.headDimension)
        else { return nil }
        guard config.family == .llama else {
            throw WeightsError(
                file: file, subject: "rotary scaling", found: "llama3 in a \(config.family.rawValue) model",
                expected: "llama3 in a llama model: GGUF files cannot say it elsewhere",
                advice: "export a Hugging Face folder")
        }
        return factors
    }

    private static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let directory = path[..<slash]
        return (directory.isEmpty ? "/" : String(directory), String(path[path.index(after: slash)...]))
    }
}

enum GGUFMetadata {
    /// What llama.cpp needs to know about the model, in a fixed order.
    static func keys(config: ModelConfig, format: FloatFormat, name: String) -> [(String, GGUFValue)] {
        let family = config.family.rawValue
        func count(_ value: Int) -> GGUFValue { .uint32(UInt32(clamping: value)) }
        let fileType: UInt32 =
            switch format {
            case .float32: 0
            case .float16: 1
            case .bfloat16: 32
            }
        return [
            ("general.architecture", .string(family)),
            ("general.type", .string("model")),
            ("general.name", .string(name)),
            ("general.file_type", .uint32(fileType)),
            (GGUFFile.alignmentKey, count(GGUFFile.defaultAlignment)),
            ("\(family).vocab_size", count(config.vocabularySize)),
            ("\(family).context_length", count(config.contextTokens)),
            ("\(family).embedding_length", count(config.hiddenSize)),
            ("\(family).block_count", count(config.layerCount)),
            ("\(family).feed_forward_length", count(config.intermediateSize)),
            ("\(family).attention.head_count", count(config.headCount)),
            ("\(family).attention.head_count_kv", count(config.keyValueHeadCount)),
            ("\(family).attention.key_length", count(config.headDimension)),
            ("\(family).attention.value_length", count(config.headDimension)),
            ("\(family).attention.layer_norm_rms_epsilon", .float32(config.rmsEpsilon)),
            ("\(family).rope.dimension_count", count(config.headDimension)),
            ("\(family).rope.freq_base", .float32(Float(config.rotaryBase))),
        ] + scaling(config.rotaryScaling, prefix: "\(family).rope.scaling.")
    }

    private static func scaling(_ scaling: RotaryScaling?, prefix: String) -> [(String, GGUFValue)] {
        switch scaling {
        case nil, .llama3: return []
        case .linear(let factor):
            return [(prefix + "type", .string("linear")), (prefix + "factor", .float32(Float(factor)))]
        case .yarn(let factor, let fast, let slow, let context, let attention):
            var keys: [(String, GGUFValue)] = [
                (prefix + "type", .string("yarn")),
                (prefix + "factor", .float32(Float(factor))),
                (prefix + "original_context_length", .uint32(UInt32(clamping: context))),
                (prefix + "yarn_beta_fast", .float32(Float(fast))),
                (prefix + "yarn_beta_slow", .float32(Float(slow))),
            ]
            // llama.cpp multiplies YaRN's own factor by this one.
            if let attention {
                let share = attention / RotaryScaling.yarnAttentionFactor(factor)
                keys.append((prefix + "attn_factor", .float32(Float(share))))
            }
            return keys
        }
    }
}
