// Does a Hugging Face folder become the right model?

import Foundation
import Testing

@testable import Weights

@Suite struct HuggingFaceTests {
    private let scratch = ScratchFolder()

    private static let llama: [String: JSONValue] = [
        "architectures": .array([.string("LlamaForCausalLM")]), "model_type": .string("llama"),
        "vocab_size": .integer(10), "hidden_size": .integer(8), "num_hidden_layers": .integer(2),
        "num_attention_heads": .integer(2), "num_key_value_heads": .integer(1), "head_dim": .integer(8),
        "intermediate_size": .integer(12), "rms_norm_eps": .double(1e-5), "max_position_embeddings": .integer(64),
        "rope_theta": .double(10_000),
    ]

    private func parse(_ change: [String: JSONValue?]) throws -> ModelConfig {
        var members = HuggingFaceTests.llama
        for (key, value) in change { members[key] = value }
        return try HuggingFaceConfig.parse(Array(JSONValue.object(members).serialized().utf8), file: "config.json")
    }

    private func refusal(_ change: [String: JSONValue?]) -> String {
        let error = #expect(throws: WeightsError.self) { try parse(change) }
        return error.map { "\($0.subject): \($0.expected), \($0.found)" } ?? "accepted"
    }

    /// A folder whose tensors hold the sample parameters, split over so many shards.
    private func folder(
        _ config: ModelConfig, shards: Int = 1, prefix: Bool = true, extra: [TensorShape] = []
    ) throws -> ScratchFolder {
        let folder = ScratchFolder(in: scratch)
        folder.write("config.json", Export.configJSON(config, format: .float32, beginToken: nil, endTokens: []))
        var tensors: [(TensorShape, [Float])] = []
        var start = 0
        for shape in config.tensors {
            var named = shape
            if !prefix { named.name = shape.name.replacing("model.", with: "") }
            tensors.append((named, Array(config.sampleParameters[start..<start + shape.elementCount])))
            start += shape.elementCount
        }
        for shape in extra { tensors.append((shape, [Float](repeating: 9, count: shape.elementCount))) }
        var map: [String: JSONValue] = [:]
        for shard in 0..<shards {
            let part = tensors.enumerated().filter { $0.offset % shards == shard }.map(\.element)
            let name = shards == 1 ? "model.safetensors" : "model-\(shard).safetensors"
            let writer = try SafetensorsWriter(
                in: folder.path, tensors: part.map(\.0).stored(as: .float32), metadata: [])
            for (_, values) in part { try values.withUnsafeBytes { try writer.append($0) } }
            _ = writer.finish()
            try writer.file.commit(as: name)
            for (shape, _) in part { map[shape.name] = .string(name) }
        }
        if shards > 1 {
            folder.write("model.safetensors.index.json", JSONValue.object(["weight_map": .object(map)]).serialized())
        }
        return folder
    }

    @Test(arguments: ModelFamily.allCases, [1, 3])
    func `whole and sharded folders give all tensors`(family: ModelFamily, shards: Int) throws {
        let config = ModelConfig.tiny(family, tied: family == .qwen3)
        let source = try ModelSource.open(try folder(config, shards: shards).path)
        #expect(source.config == config)
        #expect(try source.parameters() == config.sampleParameters)
    }

    @Test func `names without the model prefix, a spare head and rotary buffers are taken as what they are`() throws {
        let config = ModelConfig.tiny(.llama, tied: true)
        let spare = [
            TensorShape("lm_head.weight", [10, 8]), TensorShape("layers.0.self_attn.rotary_emb.inv_freq", [4]),
        ]
        let source = try ModelSource.open(try folder(config, prefix: false, extra: spare).path)
        #expect(try source.parameters() == config.sampleParameters)
    }

    @Test func `tokenizer files are handed on`() throws {
        let folder = try folder(.tiny(.llama))
        guard case .none = try ModelSource.open(folder.path).tokenizer else {
            return #expect(Bool(false), "no files yet")
        }
        folder.write("tokenizer.json", "{\"a\":1}")
        folder.write("chat_template.jinja", "{{ x }}")
        guard case .huggingFace(let json, nil, let template, nil) = try ModelSource.open(folder.path).tokenizer else {
            return #expect(Bool(false), "tokenizer.json and the template alone were expected")
        }
        #expect(json == Array("{\"a\":1}".utf8) && template == "{{ x }}")
        folder.write("chat_template.jinja", [0xff])
        #expect(throws: WeightsError.self) { try ModelSource.open(folder.path) }
    }

    @Test func `defaults are those of transformers`() throws {
        let bare = try parse(["rope_theta": nil, "rms_norm_eps": nil, "num_key_value_heads": nil, "head_dim": nil])
        #expect(bare.rotaryBase == 10_000 && bare.rmsEpsilon == 1e-6 && !bare.tiedEmbeddings)
        #expect(bare.keyValueHeadCount == 2 && bare.headDimension == 4)
        let qwen3 = try parse(["architectures": .array([.string("Qwen3ForCausalLM")]), "head_dim": nil])
        #expect(qwen3.headDimension == 128 && qwen3.family == .qwen3)
        #expect(try parse(["architectures": nil, "model_type": .string("qwen2")]).family == .qwen2)
        #expect(try parse(["sliding_window": .integer(16), "use_sliding_window": .bool(false)]).contextTokens == 64)
    }

    @Test func `rotary scaling in both layouts`() throws {
        let llama3: [String: JSONValue] = [
            "rope_type": .string("llama3"), "factor": .double(32), "low_freq_factor": .double(1),
            "high_freq_factor": .double(4), "original_max_position_embeddings": .integer(8192),
        ]
        let expected = RotaryScaling.llama3(
            factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 8192)
        #expect(try parse(["rope_scaling": .object(llama3)]).rotaryScaling == expected)
        var newer = llama3
        newer["rope_theta"] = .double(500_000)
        let config = try parse(["rope_parameters": .object(newer), "rope_theta": nil])
        #expect(config.rotaryScaling == expected && config.rotaryBase == 500_000)
        #expect(
            try parse(["rope_scaling": .object(["type": .string("linear"), "factor": .integer(2)])]).rotaryScaling
                == .linear(factor: 2))
        #expect(try parse(["rope_scaling": .null]).rotaryScaling == nil)
        #expect(try parse(["rope_parameters": .object(["rope_type": .string("default")])]).rotaryScaling == nil)
        let yarn: [String: JSONValue] = ["rope_type": .string("yarn"), "factor": .double(4)]
        #expect(
            try parse(["rope_scaling": .object(yarn)]).rotaryScaling
                == .yarn(factor: 4, betaFast: 32, betaSlow: 1, originalContextTokens: 64, attentionFactor: nil))
        // mscale 1 over mscale_all_dim 0.5: (0.1·ln 4 + 1) / (0.05·ln 4 + 1) = 1.138629 / 1.069315.
        let scaled = yarn.merging(["mscale": .double(1), "mscale_all_dim": .double(0.5)]) { $1 }
        guard case .yarn(_, _, _, _, let attention?) = try parse(["rope_scaling": .object(scaled)]).rotaryScaling
        else {
            return #expect(Bool(false), "an attention factor was expected")
        }
        #expect(abs(attention - 1.064821) < 1e-6)
    }

    @Test func `what the engine would not compute is refused in words`() {
        #expect(refusal(["architectures": .array([.string("MixtralForCausalLM")])]).contains("`MixtralForCausalLM`"))
        #expect(
            refusal(["attention_bias": .bool(true)]).contains("llama models with attention biases are not supported"))
        #expect(refusal(["mlp_bias": .bool(true)]).contains("biases in the MLP"))
        #expect(refusal(["use_sliding_window": .bool(true)]).contains("sliding-window attention is not supported"))
        #expect(refusal(["layer_types": .array([.string("sliding_attention")])]).contains("full_attention alone"))
        #expect(refusal(["hidden_act": .string("gelu")]).contains("silu"))
        #expect(refusal(["quantization_config": .object([:])]).contains("packed weights are not read"))
        #expect(refusal(["partial_rotary_factor": .double(0.5)]).contains("partly rotated heads"))
        #expect(refusal(["rope_scaling": .object(["rope_type": .string("dynamic")])]).contains("`dynamic`"))
        #expect(refusal(["rope_scaling": .object(["rope_type": .string("linear")])]).contains("rope_scaling.factor"))
        #expect(refusal(["hidden_size": nil]) == "key `hidden_size`: an integer, none")
        #expect(refusal(["hidden_size": .string("8")]) == "key `hidden_size`: an integer, the text `8`")
        #expect(refusal(["hidden_size": .integer(-8)]) == "model hidden size: 1 to 4194304, -8")
        #expect(refusal(["num_key_value_heads": .integer(3)]).contains("a multiple, 2 for 3 key-value heads"))
        #expect(
            refusal(["num_attention_heads": .integer(3), "head_dim": nil]).contains("a divisor of hidden_size, 8"))
        #expect(refusal(["vocab_size": .integer(1 << 40)]).contains("model vocabulary size"))
    }

    @Test func `broken folders are named`() throws {
        func refusal(_ path: String) -> WeightsError? {
            #expect(throws: WeightsError.self) { try ModelSource.open(path) }
        }
        #expect(refusal(scratch.path + "/nothing")?.subject == "open")
        let empty = ScratchFolder(in: scratch)
        #expect(refusal(empty.path)?.found == "no config.json")
        let pickled = try folder(.tiny(.llama))
        try FileManager.default.removeItem(atPath: pickled.path + "/model.safetensors")
        #expect(refusal(pickled.path)?.found == "none")
        pickled.write("pytorch_model.bin", [0x80, 2])
        #expect(refusal(pickled.path)?.advice?.contains("never read") == true)
        #expect(refusal(pickled.path + "/pytorch_model.bin")?.found == "a zip archive or pickle")
        let whole = try folder(.tiny(.llama))
        #expect(refusal(whole.path + "/model.safetensors")?.found == "a safetensors file")
        let untied = try folder(.tiny(.llama, tied: true))
        untied.write("config.json", Export.configJSON(.tiny(.llama), format: .float32, beginToken: nil, endTokens: []))
        #expect(refusal(untied.path)?.advice?.contains("tie_word_embeddings") == true)
        let extra = try folder(.tiny(.llama), extra: [TensorShape("model.layers.0.self_attn.q_proj.bias", [16])])
        #expect(refusal(extra.path)?.subject == "tensor `model.layers.0.self_attn.q_proj.bias`")
        var other = ModelConfig.tiny(.llama)
        other.intermediateSize = 16
        whole.write("config.json", Export.configJSON(other, format: .float32, beginToken: nil, endTokens: []))
        #expect(refusal(whole.path)?.expected == "F32, F16 or BF16 of shape [16, 8]")
    }

    @Test func `broken shard indexes are named`() throws {
        func refusal(_ edit: (String) -> String) throws -> String {
            let folder = try folder(.tiny(.llama), shards: 2)
            let index = String(decoding: folder.contents("model.safetensors.index.json"), as: UTF8.self)
            folder.write("model.safetensors.index.json", edit(index))
            let error = #expect(throws: WeightsError.self) { try ModelSource.open(folder.path) }
            return error?.description ?? "accepted"
        }
        let key = "\"lm_head.weight\": \"model-0.safetensors\""
        #expect(
            try refusal { $0.replacing(key, with: "\"lm_head.weight\": \"../model-0.safetensors\"") }.contains(
                "same folder"))
        #expect(
            try refusal { $0.replacing(key, with: "\"lm_head.weight\": \"model-1.safetensors\"") }
                .contains("expected it in model-1.safetensors, as the index says"))
        #expect(
            try refusal { $0.replacing(key, with: "\"spare\": \"model-0.safetensors\"") }.contains(
                "no such tensor in the index"))
        #expect(
            try refusal { $0.replacing(key, with: key + ", \"spare\": \"model-0.safetensors\"") }.contains("`spare`"))
        #expect(try refusal { $0.replacing("model-1.safetensors", with: "model-9.safetensors") }.contains("model-9"))
        #expect(try refusal { _ in "{}" }.contains("weight_map"))
    }
}
