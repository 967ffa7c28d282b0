// Do exported models come back as they went?

import Testing

@testable import Weights

@Suite struct ExportTests {
    private let folder = ScratchFolder()

    private static let scalings: [RotaryScaling?] = [
        nil, .linear(factor: 2),
        .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 8192),
        .yarn(factor: 4, betaFast: 32, betaSlow: 1, originalContextTokens: 16, attentionFactor: nil),
    ]

    private func gguf(
        _ config: ModelConfig, _ values: [Float], _ format: FloatFormat,
        tokenizer: [(String, GGUFValue)] = [("tokenizer.ggml.model", .string("gpt2"))]
    ) throws -> ModelSource {
        let path = folder.path + "/model.gguf"
        try values.withUnsafeBufferPointer {
            try Export.gguf(
                config: config, parameters: $0, format: format, name: "tiny", tokenizerMetadata: tokenizer, to: path)
        }
        return try ModelSource.open(path)
    }

    private func huggingFace(
        _ config: ModelConfig, _ values: [Float], _ format: FloatFormat, files: [String: [UInt8]] = [:],
        ends: [Int] = [2], to name: String = "hf"
    ) throws -> ModelSource {
        let path = folder.path + "/" + name
        try values.withUnsafeBufferPointer {
            try Export.huggingFace(
                config: config, parameters: $0, format: format, tokenizerFiles: files, beginToken: 1, endTokens: ends,
                to: path)
        }
        return try ModelSource.open(path)
    }

    @Test func `values beyond float16 are refused, not made infinite`() throws {
        var values = ModelConfig.tiny(.llama).sampleParameters
        values[3] = 70_000
        let error = #expect(throws: WeightsError.self) { try huggingFace(.tiny(.llama), values, .float16) }
        #expect(error?.subject == "tensor `model.embed_tokens.weight`" && error?.found.hasPrefix("1 values") == true)
        #expect(folder.names.isEmpty)
    }

    @Test(arguments: ModelFamily.allCases, FloatFormat.allCases)
    func `GGUF there and back is exact`(family: ModelFamily, format: FloatFormat) throws {
        for tied in [true, false] {
            let config = ModelConfig.tiny(family, tied: tied)
            let source = try gguf(config, config.sampleParameters, format)
            #expect(source.config == config)
            #expect(try source.parameters() == config.sampleParameters)
            guard case .gguf(let keys) = source.tokenizer else { return #expect(Bool(false), "no tokenizer") }
            #expect(keys == ["tokenizer.ggml.model": .string("gpt2")])
        }
    }

    @Test func `a GGUF file made by hand survives export byte for byte in its tensors`() throws {
        let config = ModelConfig.tiny(.llama)
        let original = try GGUFFile(folder.write("hand.gguf", GGUFBytes.model(config).bytes))
        _ = try gguf(config, ModelSource.open(folder.path + "/hand.gguf").parameters(), .float32)
        let exported = try GGUFFile(folder.path + "/model.gguf")
        #expect(exported.tensors.map(\.name) == original.tensors.map(\.name))
        for (left, right) in zip(original.tensors, exported.tensors) {
            #expect(left.dimensions == right.dimensions && right.offset % 32 == 0)
            #expect(original.bytes(of: left).elementsEqual(exported.bytes(of: right)), "\(left.name)")
        }
    }

    @Test func `norms and biases stay F32 and the metadata is complete`() throws {
        let config = ModelConfig.tiny(.qwen2)
        _ = try gguf(config, config.sampleParameters, .bfloat16)
        let file = try GGUFFile(folder.path + "/model.gguf")
        #expect(file.version == 3 && file.metadata["general.file_type"] == .uint32(32))
        #expect(file.metadata["general.alignment"] == .uint32(32) && file.metadata["general.name"] == .string("tiny"))
        #expect(file.metadata["qwen2.rope.freq_base"] == .float32(10_000))
        for tensor in file.tensors {
            #expect(tensor.type == (tensor.dimensions.count == 1 ? .float32 : .bfloat16), "\(tensor.name)")
        }
    }

    @Test(arguments: ExportTests.scalings)
    func `rotary scaling survives both ways`(scaling: RotaryScaling?) throws {
        var config = ModelConfig.tiny(.llama, scaling: scaling)
        config.rotaryBase = 500_000
        #expect(try gguf(config, config.sampleParameters, .float32).config == config)
        #expect(try huggingFace(config, config.sampleParameters, .float32).config == config)
    }

    @Test func `a stated YaRN attention factor survives both ways`() throws {
        let scaling = RotaryScaling.yarn(
            factor: 4, betaFast: 16, betaSlow: 2, originalContextTokens: 16, attentionFactor: 1.25)
        let config = ModelConfig.tiny(.qwen3, scaling: scaling)
        #expect(try huggingFace(config, config.sampleParameters, .float32).config == config)
        guard
            case .yarn(4, 16, 2, 16, let attention?) = try gguf(config, config.sampleParameters, .float32).config
                .rotaryScaling
        else { return #expect(Bool(false), "another scaling") }
        #expect(abs(attention - 1.25) < 1e-6)
    }

    @Test func `llama3 scaling outside the llama family has no GGUF form`() throws {
        let scaling = try #require(ExportTests.scalings[2])
        let config = ModelConfig.tiny(.qwen2, scaling: scaling)
        let error = #expect(throws: WeightsError.self) { try gguf(config, config.sampleParameters, .float32) }
        #expect(error?.advice == "export a Hugging Face folder")
    }

    @Test(arguments: ModelFamily.allCases, FloatFormat.allCases)
    func `a Hugging Face folder there and back is exact`(family: ModelFamily, format: FloatFormat) throws {
        for tied in [true, false] {
            let config = ModelConfig.tiny(family, tied: tied)
            let source = try huggingFace(
                config, config.sampleParameters, format, files: ["tokenizer.json": Array("{}".utf8)], to: "hf-\(tied)")
            #expect(source.config == config)
            #expect(try source.parameters() == config.sampleParameters)
            guard case .huggingFace(let json, nil, nil, nil) = source.tokenizer else { return #expect(Bool(false)) }
            #expect(json == Array("{}".utf8))
        }
        let file = try SafetensorsFile(folder.path + "/hf-true/model.safetensors")
        #expect(file.metadata == ["format": "pt"])
        #expect(Disk.isDirectory(folder.path + "/hf-true") && !folder.names.contains { $0.hasPrefix(".tmp-") })
    }

    @Test func `config.json names class, tokens and both rotary layouts`() throws {
        let config = ModelConfig.tiny(.qwen3, scaling: .linear(factor: 2))
        let text = Export.configJSON(config, format: .bfloat16, beginToken: 1, endTokens: [2, 3])
        let members = try #require(try JSONReader.read(Array(text.utf8), file: "", subject: "").object)
        #expect(members["architectures"] == .array([.string("Qwen3ForCausalLM")]))
        #expect(members["torch_dtype"] == .string("bfloat16") && members["head_dim"] == .number("8"))
        #expect(
            members["bos_token_id"] == .number("1") && members["eos_token_id"] == .array([.number("2"), .number("3")]))
        #expect(members["rope_scaling"] == .object(["rope_type": .string("linear"), "factor": .number("2.0")]))
        #expect(members["rope_parameters"]?.object?["rope_theta"] == .number("10000.0"))
        #expect(members["rms_norm_eps"] == .number("1e-05") && members["tie_word_embeddings"] == .bool(false))
    }

    @Test func `exports that cannot be are refused and leave nothing`() throws {
        let config = ModelConfig.tiny(.llama)
        var values = config.sampleParameters
        _ = try huggingFace(config, values, .float32)
        #expect(throws: WeightsError.self) { try huggingFace(config, values, .float32) }
        for name in ["config.json", "../x", "", "model.safetensors"] {
            #expect(throws: WeightsError.self) {
                try huggingFace(config, values, .float32, files: [name: []], to: "other")
            }
        }
        #expect(throws: WeightsError.self) {
            try gguf(config, values, .float32, tokenizer: [("general.name", .string("x"))])
        }
        values[0] = 1e6
        let error = #expect(throws: WeightsError.self) { try gguf(config, values, .float16) }
        #expect(error?.subject == "tensor `token_embd.weight`")
        #expect(throws: WeightsError.self) { try huggingFace(config, values, .float16, to: "other") }
        #expect(folder.names == ["hf"])
    }
}
