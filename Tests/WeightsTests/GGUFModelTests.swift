// Does a GGUF file become the right model?

import Testing

@testable import Weights

@Suite struct GGUFModelTests {
    private let folder = ScratchFolder()

    private func open(_ file: GGUFBytes) throws -> ModelSource {
        return try ModelSource.open(folder.write("model.gguf", file.bytes))
    }

    private func refusal(_ family: ModelFamily = .llama, _ change: (inout GGUFBytes) -> Void) -> String {
        var file = GGUFBytes.model(.tiny(family))
        change(&file)
        let error = #expect(throws: WeightsError.self) { try open(file) }
        return error.map { "\($0.subject): \($0.expected), \($0.found)" } ?? "accepted"
    }

    @Test(arguments: ModelFamily.allCases, [true, false])
    func `names, shapes and row orders come out as Hugging Face has them`(family: ModelFamily, tied: Bool) throws {
        let config = ModelConfig.tiny(family, tied: tied)
        let source = try open(.model(config))
        #expect(source.config == config)
        #expect(try source.parameters() == config.sampleParameters)
        guard case .none = source.tokenizer else { return #expect(Bool(false), "no tokenizer keys were written") }
    }

    @Test func `rows of eight are taken in the order 0 2 4 6 1 3 5 7`() throws {
        let order = try #require(RotaryRowOrder(config: .tiny(.llama), name: "model.layers.0.self_attn.q_proj.weight"))
        #expect((0..<8).map { order.interleaved($0) } == [0, 2, 4, 6, 1, 3, 5, 7])
        #expect(order.interleaved(8 + 5) == 8 + 3)
        #expect(RotaryRowOrder(config: .tiny(.llama), name: "model.layers.0.self_attn.v_proj.weight") == nil)
        #expect(RotaryRowOrder(config: .tiny(.qwen2), name: "model.layers.0.self_attn.q_proj.weight") == nil)
    }

    @Test func `quantised query rows are reordered too`() throws {
        // Hidden size 32 makes each row one Q8_0 block; row r of the file holds r everywhere.
        var config = ModelConfig.tiny(.llama, tied: true)
        config.hiddenSize = 32
        var file = GGUFBytes.model(config)
        let index = try #require(file.tensors.firstIndex { $0.name == Array("blk.0.attn_q.weight".utf8) })
        var data: [UInt8] = []
        for row in 0..<16 { data += [0x00, 0x3c] + [UInt8](repeating: UInt8(row), count: 32) }
        file.tensors[index].type = 8
        file.data.replaceSubrange(
            Int(file.tensors[index].offset)..<Int(file.tensors[index].offset) + data.count, with: data)
        let source = try open(file)
        let shape = try #require(config.tensors.first { $0.name == "model.layers.0.self_attn.q_proj.weight" })
        var values = [Float](repeating: -1, count: shape.elementCount)
        try values.withUnsafeMutableBufferPointer { try source.read(shape, into: $0) }
        #expect((0..<16).map { values[$0 * 32] } == [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15])
    }

    @Test func `tokenizer metadata is handed on`() throws {
        var file = GGUFBytes.model(.tiny(.llama))
        file.set("tokenizer.ggml.model", 8, text("gpt2"))
        guard case .gguf(let keys) = try open(file).tokenizer else { return #expect(Bool(false), "no tokenizer") }
        #expect(keys == ["tokenizer.ggml.model": .string("gpt2")])
    }

    @Test func `defaults hold where keys are absent`() throws {
        var config = ModelConfig.tiny(.llama)
        config.headDimension = 4
        config.keyValueHeadCount = 2
        var file = GGUFBytes.model(config)
        file.keys.removeAll {
            $0.0.hasSuffix("key_length") || $0.0.hasSuffix("head_count_kv") || $0.0.hasSuffix("dimension_count")
        }
        #expect(try open(file).config == config)
    }

    @Test func `rotary scaling comes from metadata`() throws {
        var file = GGUFBytes.model(.tiny(.qwen2))
        file.set("qwen2.rope.scaling.type", 8, text("yarn"))
        file.set("qwen2.rope.scaling.factor", 6, f32(4))
        file.set("qwen2.rope.scaling.original_context_length", 4, u32(32))
        let yarn = RotaryScaling.yarn(
            factor: 4, betaFast: 32, betaSlow: 1, originalContextTokens: 32, attentionFactor: nil)
        #expect(try open(file).config.rotaryScaling == yarn)
        file.set("qwen2.rope.scaling.type", 8, text("linear"))
        #expect(try open(file).config.rotaryScaling == .linear(factor: 4))
        file.set("qwen2.rope.scaling.type", 8, text("none"))
        #expect(try open(file).config.rotaryScaling == nil)
        file.set("qwen2.rope.scaling.type", 8, text("longrope"))
        let error = #expect(throws: WeightsError.self) { try open(file) }
        #expect(error?.found == "`longrope`")
    }

    @Test func `rope_freqs of Llama 3 is recognised by its numbers`() throws {
        // Base 500000, head dimension 8: the original context holds 8192 / (2π · 500000^(i/4)) turns of frequency i:
        // 1303, 49, 1.8438 (between 1 and 4: a blend) and 0.069.
        for (factor, blend) in [(Float(8), Float(2.6946)), (32, 3.2923)] {
            var file = GGUFBytes.model(.tiny(.llama))
            file.set("llama.rope.freq_base", 6, f32(500_000))
            file.add("rope_freqs.weight", rows: [4], [1, 1, blend, factor])
            let scaling = try open(file).config.rotaryScaling
            #expect(
                scaling
                    == .llama3(
                        factor: Double(factor), lowFrequencyFactor: 1, highFrequencyFactor: 4,
                        originalContextTokens: 8192))
        }
        var ones = GGUFBytes.model(.tiny(.llama))
        ones.add("rope_freqs.weight", rows: [4], [1, 1, 1, 1])
        #expect(try open(ones).config.rotaryScaling == nil)
        #expect(refusal { $0.add("rope_freqs.weight", rows: [4], [1, 1, 2, 8]) }.contains("Llama 3.1 (factor 8)"))
        #expect(refusal { $0.add("rope_freqs.weight", rows: [3], [1, 1, 8]) }.contains("dimensions [3]"))
    }

    @Test func `the blend between short and long waves is Llama 3's`() {
        // Base 10^4, D = 64, i = 17: 8192 · 10^(-2.125) / 2π = 9.7771…, i = 20: 4.1228…, i = 22: 2.3185…, i = 25:
        // 0.9777…
        let divisors = RotaryFactors.divisors(
            base: 10_000, headDimension: 64, factor: 8, low: 1, high: 4, originalContextTokens: 8192)
        #expect(divisors.count == 32 && divisors[17] == 1 && divisors[20] == 1 && divisors[25] == 8)
        let blend = (8192 * 0.001778279410038923 / (2 * 3.141592653589793) - 1) / 3
        #expect(abs(divisors[22] - 1 / ((1 - blend) / 8 + blend)) < 1e-9)
        #expect(divisors[22] > 1 && divisors[22] < 8)
    }

    @Test func `what is missing, extra or of another shape is named`() {
        #expect(refusal { $0.set("general.architecture", 8, text("gemma")) }.contains("`gemma`"))
        #expect(
            refusal { $0.keys.removeAll { $0.0 == "llama.block_count" } }.hasPrefix("metadata key `llama.block_count`")
        )
        #expect(refusal { $0.set("llama.block_count", 4, u32(1)) }.hasPrefix("tensor `blk.1."))
        #expect(refusal { $0.set("llama.block_count", 4, u32(3)) }.contains("tensor `blk.2.attn_norm.weight`"))
        #expect(refusal { $0.set("llama.block_count", 10, le(UInt64.max)) }.contains("one integer"))
        #expect(refusal { $0.set("llama.block_count", 4, u32(1 << 30)) } == "model layer count: 1 to 4096, 1073741824")
        #expect(refusal { $0.set("llama.attention.head_count", 4, u32(0)) }.hasSuffix("a divisor of 8, 0"))
        #expect(refusal { $0.set("llama.attention.head_count_kv", 4, u32(3)) }.contains("a multiple"))
        #expect(refusal { $0.set("llama.rope.dimension_count", 4, u32(4)) }.contains("the head dimension, 8"))
        #expect(refusal { $0.set("llama.expert_count", 4, u32(8)) }.contains("llama.expert_count"))
        #expect(refusal { $0.set("llama.feed_forward_length", 9, u32(4) + le(UInt64(0))) }.contains("one integer"))
        #expect(refusal { $0.set("llama.attention.sliding_window", 4, u32(16)) }.contains("whole context"))
        #expect(refusal { $0.set("llama.rope.freq_base", 6, f32(.nan)) }.contains("rotary base"))
        #expect(
            refusal { $0.add("blk.0.attn_q.bias", rows: [16], [Float](repeating: 0, count: 16)) }
                .hasPrefix("tensor `blk.0.attn_q.bias`"))
        #expect(
            refusal(.qwen3) { $0.tensors.removeAll { $0.name == Array("blk.1.attn_q_norm.weight".utf8) } }
                .hasPrefix("tensor `blk.1.attn_q_norm.weight`"))
        #expect(refusal { $0.tensors[0].dimensions = [80] }.contains("(vocabulary, hidden)"))
    }
}
