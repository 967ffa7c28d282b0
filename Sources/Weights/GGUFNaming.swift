// What does llama.cpp call a tensor, and how does it order the rows of queries and keys?

enum GGUFNaming {
    static let rotaryFactors = "rope_freqs.weight"
    static let embedding = "token_embd.weight"
    static let head = "output.weight"

    private static let whole = [
        "model.embed_tokens.weight": embedding, "model.norm.weight": "output_norm.weight", "lm_head.weight": head,
    ]
    private static let ofLayer = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    /// `model.layers.3.self_attn.q_proj.weight` → `blk.3.attn_q.weight`.
    /// - Precondition: `name` is one of `ModelConfig.tensors`.
    static func name(of name: String) -> String {
        if let known = whole[name] { return known }
        let parts = name.split(separator: ".").map(String.init)
        guard parts.count >= 5, let module = ofLayer[parts[3..<parts.count - 1].joined(separator: ".")] else {
            preconditionFailure("\(name) is no tensor of a supported model")
        }
        return "blk.\(parts[2]).\(module).\(parts[parts.count - 1])"
    }
}

/// Row order of query and key projections. Rotary pairs are rows i and i + D/2 of a head in Hugging Face files (halves)
/// and rows 2i and 2i + 1 in llama.cpp's llama-architecture files (interleaved).
struct RotaryRowOrder {
    let headDimension: Int

    /// The row that tensor `name` must be permuted with; nil when llama.cpp keeps its rows in place.
    init?(config: ModelConfig, name: String) {
        guard config.family == .llama else { return nil }
        guard name.hasSuffix("self_attn.q_proj.weight") || name.hasSuffix("self_attn.k_proj.weight") else {
            return nil
        }
        headDimension = config.headDimension
    }

    /// Where llama.cpp keeps the row that is `row` in half-split order.
    func interleaved(_ row: Int) -> Int {
        let half = headDimension / 2
        let inHead = row % headDimension
        return row - inHead + inHead % half * 2 + inHead / half
    }
}
