// How does a trained model become a folder that transformers loads?

import Foundation

/// Models written for other programs.
package enum Export {}

extension Export {
    /// Writes config.json, model.safetensors and the tokenizer's files. The folder appears whole or not at all.
    /// - Parameters:
    ///   - parameters: all tensors back to back in the config's order.
    ///   - tokenizerFiles: by file name, as in ["tokenizer.json": bytes].
    ///   - endTokens: one or several end-of-sequence tokens; none leaves the key out.
    ///   - folder: must not exist, or be empty.
    package static func huggingFace(
        config: ModelConfig, parameters: UnsafeBufferPointer<Float>, format: FloatFormat,
        tokenizerFiles: [String: [UInt8]], beginToken: Int?, endTokens: [Int], to folder: String
    ) throws(WeightsError) {
        precondition(
            parameters.count == config.elementCount,
            "\(parameters.count) parameters for a model of \(config.elementCount)")
        try wholeFolder(folder) { temporary throws(WeightsError) in
            let text = configJSON(config, format: format, beginToken: beginToken, endTokens: endTokens)
            try write(Array(text.utf8), HuggingFaceFolder.configName, in: temporary)
            try write(
                tokenizerFiles, besides: [
                    HuggingFaceFolder.configName, HuggingFaceFolder.weightsName, HuggingFaceFolder.indexName,
                ], in: temporary)
            try write(
                parameters, config.tensors, format, HuggingFaceFolder.weightsName, in: temporary, of: temporary)
        }
    }

    /// Fills a folder under a temporary name and renames it: it appears whole or not at all.
    /// - Parameter folder: must not exist, or be empty.
    static func wholeFolder(
        _ folder: String, fill: (String) throws(WeightsError) -> Void
    ) throws(WeightsError) {
        var destination = folder
        while destination.count > 1 && destination.hasSuffix("/") { destination.removeLast() }
        guard try Disk.names(in: destination).isEmpty else {
            throw WeightsError(
                file: destination, subject: "export", found: "a folder with files in it",
                expected: "a new or empty folder")
        }
        let parent = (destination as NSString).deletingLastPathComponent
        let base = parent.isEmpty ? "." : parent
        let temporary = base + "/" + TemporaryFile.uniqueName()
        try Disk.createDirectory(temporary)
        do throws(WeightsError) {
            try fill(temporary)
            guard rename(temporary, destination) == 0 else {
                throw .system("rename to \(destination)", file: temporary, code: errno)
            }
        } catch {
            // The first error is what matters.
            try? Disk.remove(temporary)
            throw error
        }
        try Disk.sync(directory: base)
    }

    /// - Parameter taken: names that are not the tokenizer's.
    static func write(
        _ tokenizerFiles: [String: [UInt8]], besides taken: [String], in folder: String
    ) throws(WeightsError) {
        for name in tokenizerFiles.keys.sorted() {
            guard !name.isEmpty, !name.contains("/"), name != ".", name != "..", !taken.contains(name) else {
                throw WeightsError(
                    file: folder, subject: "tokenizer file \(quoted(name))", found: "that name",
                    expected: "the name of a tokenizer's file")
            }
            try write(tokenizerFiles[name] ?? [], name, in: folder)
        }
    }

    static func write(_ bytes: [UInt8], _ name: String, in folder: String) throws(WeightsError) {
        let file = try TemporaryFile(in: folder, expectedBytes: bytes.count)
        try file.write(bytes)
        try file.commit(as: name)
    }

    /// - Parameters:
    ///   - values: all tensors back to back.
    ///   - subject: named when a value does not fit the format.
    static func write(
        _ values: UnsafeBufferPointer<Float>, _ tensors: [TensorShape], _ format: FloatFormat, _ name: String,
        in folder: String, of subject: String
    ) throws(WeightsError) {
        let tensors = tensors.stored(as: format)
        let writer = try SafetensorsWriter(in: folder, tensors: tensors, metadata: [("format", "pt")])
        try TensorEncoder(tensors: tensors).encode(
            file: subject, values: TensorEncoder.backToBack(values), append: writer.append)
        _ = writer.finish()
        try writer.file.commit(as: name)
    }

    /// Says rotary settings twice: `rope_parameters` for newer readers, `rope_theta` and `rope_scaling` for older ones.
    static func configJSON(
        _ config: ModelConfig, format: FloatFormat, beginToken: Int?, endTokens: [Int]
    ) -> String {
        let architecture = HuggingFaceConfig.architectures.first { $0.1 == config.family }?.0 ?? ""
        let scaling = config.rotaryScaling.map { rotary($0) }
        var rotaryParameters = scaling ?? ["rope_type": .string("default")]
        rotaryParameters["rope_theta"] = .double(config.rotaryBase)
        var members: [String: JSONValue] = [
            "architectures": .array([.string(architecture)]),
            "model_type": .string(config.family.rawValue),
            "vocab_size": .integer(config.vocabularySize),
            "hidden_size": .integer(config.hiddenSize),
            "intermediate_size": .integer(config.intermediateSize),
            "num_hidden_layers": .integer(config.layerCount),
            "num_attention_heads": .integer(config.headCount),
            "num_key_value_heads": .integer(config.keyValueHeadCount),
            "head_dim": .integer(config.headDimension),
            "hidden_act": .string("silu"),
            "max_position_embeddings": .integer(config.contextTokens),
            "rms_norm_eps": .number("\(config.rmsEpsilon)"),
            "rope_theta": .double(config.rotaryBase),
            "rope_scaling": scaling.map { .object($0) } ?? .null,
            "rope_parameters": .object(rotaryParameters),
            "tie_word_embeddings": .bool(config.tiedEmbeddings),
            "torch_dtype": .string(format.rawValue),
            "attention_dropout": .double(0),
            "initializer_range": .double(0.02),
            "use_cache": .bool(true),
        ]
        if config.family != .qwen2 { members["attention_bias"] = .bool(false) }
        if config.family == .llama {
            members["mlp_bias"] = .bool(false)
        } else {
            members["use_sliding_window"] = .bool(false)
        }
        if let beginToken { members["bos_token_id"] = .integer(beginToken) }
        if endTokens.count == 1 { members["eos_token_id"] = .integer(endTokens[0]) }
        if endTokens.count > 1 { members["eos_token_id"] = .array(endTokens.map { .integer($0) }) }
        return JSONValue.object(members).serialized() + "\n"
    }

    private static func rotary(_ scaling: RotaryScaling) -> [String: JSONValue] {
        switch scaling {
        case .linear(let factor): return ["rope_type": .string("linear"), "factor": .double(factor)]
        case .llama3(let factor, let low, let high, let context):
            return [
                "rope_type": .string("llama3"), "factor": .double(factor), "low_freq_factor": .double(low),
                "high_freq_factor": .double(high), "original_max_position_embeddings": .integer(context),
            ]
        case .yarn(let factor, let fast, let slow, let context, let attention):
            var members: [String: JSONValue] = [
                "rope_type": .string("yarn"), "factor": .double(factor), "beta_fast": .double(fast),
                "beta_slow": .double(slow), "original_max_position_embeddings": .integer(context),
            ]
            if let attention { members["attention_factor"] = .double(attention) }
            return members
        }
    }
}
