// How do tests make GGUF files, right and wrong ones, without the code under test?

import Weights

/// Every field as it goes into the file; a test changes one and expects to be told.
struct GGUFBytes {
    struct Tensor {
        var name: [UInt8]
        /// In the file's order: innermost first.
        var dimensions: [UInt64]
        var type: UInt32 = 0
        var offset: UInt64
        var rank: UInt32?

        init(_ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64) {
            self.name = Array(name.utf8)
            self.dimensions = dimensions
            self.type = type
            self.offset = offset
        }
    }

    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var keyCount: UInt64?
    /// Key, type code, the value's bytes.
    var keys: [(String, UInt32, [UInt8])] = []
    var tensors: [Tensor] = []
    var data: [UInt8] = []
    var alignment = 32

    var bytes: [UInt8] {
        var out = magic + le(version)
        out += le(tensorCount ?? UInt64(tensors.count)) + le(keyCount ?? UInt64(keys.count))
        for (key, type, value) in keys { out += text(key) + le(type) + value }
        for tensor in tensors {
            out += le(UInt64(tensor.name.count)) + tensor.name + le(tensor.rank ?? UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { out += le(dimension) }
            out += le(tensor.type) + le(tensor.offset)
        }
        while out.count % alignment != 0 { out.append(0) }
        return out + data
    }

    mutating func set(_ key: String, _ type: UInt32, _ value: [UInt8]) {
        keys.removeAll { $0.0 == key }
        keys.append((key, type, value))
    }

    /// Adds a float32 tensor after the last one. `rows` outermost first, as the model has them.
    mutating func add(_ name: String, rows: [Int], _ values: [Float]) {
        while data.count % alignment != 0 { data.append(0) }
        tensors.append(Tensor(name, rows.reversed().map { UInt64($0) }, offset: UInt64(data.count)))
        data += floatBytes(values)
    }
}

func le<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { [UInt8]($0) }
}
func text(_ text: String) -> [UInt8] { le(UInt64(text.utf8.count)) + Array(text.utf8) }
func u32(_ value: Int) -> [UInt8] { le(UInt32(value)) }
func f32(_ value: Float) -> [UInt8] { le(value.bitPattern) }

extension GGUFBytes {
    /// A whole model file whose tensors hold `config.sampleParameters`, queries and keys reordered by the definition:
    /// (head, half, pair) → (head, pair, half).
    static func model(_ config: ModelConfig, head: Bool = true) -> GGUFBytes {
        var file = GGUFBytes()
        let name = config.family.rawValue
        file.set("general.architecture", 8, text(name))
        for (key, value) in [
            ("context_length", config.contextTokens), ("embedding_length", config.hiddenSize),
            ("block_count", config.layerCount), ("feed_forward_length", config.intermediateSize),
            ("attention.head_count", config.headCount), ("attention.head_count_kv", config.keyValueHeadCount),
            ("attention.key_length", config.headDimension), ("rope.dimension_count", config.headDimension),
        ] { file.set("\(name).\(key)", 4, u32(value)) }
        file.set("\(name).attention.layer_norm_rms_epsilon", 6, f32(config.rmsEpsilon))
        file.set("\(name).rope.freq_base", 6, f32(Float(config.rotaryBase)))
        let parameters = config.sampleParameters
        var start = 0
        for shape in config.tensors {
            var values = Array(parameters[start..<start + shape.elementCount])
            start += shape.elementCount
            let permuted = shape.name.hasSuffix("q_proj.weight") || shape.name.hasSuffix("k_proj.weight")
            if permuted && config.family == .llama {
                values = interleaved(values, columns: shape.dimensions[1], headRows: config.headDimension)
            }
            file.add(ggufNames[shape.name] ?? layerName(shape.name), rows: shape.dimensions, values)
        }
        return file
    }

    private static func interleaved(_ values: [Float], columns: Int, headRows: Int) -> [Float] {
        var out: [Float] = []
        for head in 0..<values.count / columns / headRows {
            for pair in 0..<headRows / 2 {
                for half in 0..<2 {
                    let row = head * headRows + half * headRows / 2 + pair
                    out += values[row * columns..<(row + 1) * columns]
                }
            }
        }
        return out
    }

    private static let ggufNames = [
        "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    ]

    private static func layerName(_ name: String) -> String {
        let replaced = [
            ("model.layers.", "blk."), ("post_attention_layernorm", "ffn_norm"), ("input_layernorm", "attn_norm"),
            ("self_attn.o_proj", "attn_output"), ("self_attn.q_norm", "attn_q_norm"),
            ("self_attn.k_norm", "attn_k_norm"),
            ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
            ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
        ]
        var out = name
        for (from, to) in replaced { out = out.replacing(from, with: to) }
        return out
    }
}
