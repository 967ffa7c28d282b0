// How does a GGUF file describe a tokenizer? Reading its fields, and writing them.

/// A metadata value, in the types that tokenizer fields have.
package enum GGUFField: Equatable, Sendable {
    case string(String)
    case uint32(UInt32)
    case bool(Bool)
    case strings([String])
    case int32s([Int32])
}

extension Tokenizer {
    /// Values of `tokenizer.ggml.token_type`.
    private enum TokenType {
        static let normal: Int32 = 1
        static let unknown: Int32 = 2
        static let control: Int32 = 3
        static let userDefined: Int32 = 4
        static let unused: Int32 = 5
        static let byte: Int32 = 6
    }

    /// The `tokenizer.ggml.*` fields and `tokenizer.chat_template`, each under its own name.
    /// - Parameters:
    ///   - pre: the pre-tokenizer's name; `qwen2` also composes characters (NFC), as its own tokenizer does.
    ///   - tokenTypes: one a token, or empty: all normal.
    ///   - addBOS: nil follows the pre-tokenizer: Llama 3's adds it, the others do not.
    package static func gguf(
        model: String, pre: String, tokens: [String], tokenTypes: [Int32], merges: [String], bos: Int32?, eos: Int32?,
        unknown: Int32?, padding: Int32?, addBOS: Bool?, chatTemplate: String?
    ) throws(TokenizationError) -> Tokenizer {
        let source = "GGUF"
        guard model == "gpt2" else {
            throw .unsupported(
                source: source, subject: "`tokenizer.ggml.model`",
                found: model == "llama" ? "`llama` (SentencePiece)" : "`\(model.shortened())`",
                advice: "use a model with byte-level BPE, which GGUF calls `gpt2` (Llama 3, Qwen, SmolLM2)")
        }
        guard let preTokenizer = PreTokenizer(ggufName: pre) else {
            throw .unsupported(
                source: source, subject: "`tokenizer.ggml.pre`", found: "`\(pre.shortened())`",
                advice: "gpt-2, smollm, llama-bpe, qwen2, gpt-4o and names for the same patterns are")
        }
        guard tokenTypes.isEmpty || tokenTypes.count == tokens.count else {
            throw .malformed(
                source: source, subject: "`tokenizer.ggml.token_type`",
                problem: "\(tokenTypes.count) entries for \(tokens.count) tokens")
        }
        var entries: [Vocabulary.Entry] = []
        entries.reserveCapacity(tokens.count)
        var ids: [ByteText: Int32] = [:]
        ids.reserveCapacity(tokens.count)
        for (id, text) in tokens.enumerated() {
            entries.append(try entry(text, type: tokenTypes.isEmpty ? TokenType.normal : tokenTypes[id], id: id))
            if ids[ByteText(text)] == nil { ids[ByteText(text)] = Int32(id) }
        }
        var pairs: [MergeOrder.Pair] = []
        pairs.reserveCapacity(merges.count)
        for (rank, merge) in merges.enumerated() {
            let halves = merge.split(separator: " ")
            guard halves.count == 2, let left = ids[ByteText(halves[0])], let right = ids[ByteText(halves[1])] else {
                throw .malformed(
                    source: source, subject: "`tokenizer.ggml.merges`[\(rank)]",
                    problem: "`\(merge.shortened(60))` is not two tokens of the vocabulary")
            }
            pairs.append(MergeOrder.Pair(left: left, right: right))
        }
        var settings = Settings(preTokenizer: preTokenizer)
        settings.composesCharacters = preTokenizer == .qwen2
        settings.prefersWholePieces = preTokenizer == .llama3 && pre != "dbrx" && pre != "smaug-bpe"
        settings.bos = bos
        settings.eos = eos
        settings.unknown = unknown
        settings.padding = padding
        settings.addsBOS = addBOS ?? (preTokenizer == .llama3 && bos != nil)
        settings.chatTemplate = chatTemplate
        return try Tokenizer(entries, .listed(pairs), settings, source: source)
    }

    private static func entry(_ text: String, type: Int32, id: Int) throws(TokenizationError) -> Vocabulary.Entry {
        switch type {
        case TokenType.normal: return Vocabulary.Entry(alphabetText: text)
        case TokenType.control, TokenType.unknown: return Vocabulary.Entry(bytes: Array(text.utf8), kind: .special)
        case TokenType.userDefined: return Vocabulary.Entry(bytes: Array(text.utf8), kind: .added)
        case TokenType.unused: return Vocabulary.Entry(bytes: Array(text.utf8), kind: .unused)
        default:
            throw .unsupported(
                source: "GGUF", subject: "`tokenizer.ggml.token_type`[\(id)]",
                found: type == TokenType.byte ? "type 6 (a SentencePiece byte)" : "type \(type)",
                advice: "byte-level BPE has the types 1 to 5")
        }
    }

    /// In the order in which converters write them.
    package var ggufFields: [(key: String, value: GGUFField)] {
        let settings = core.settings
        let ids = 0..<vocabularySize
        var fields: [(key: String, value: GGUFField)] = [
            ("tokenizer.ggml.model", .string("gpt2")),
            ("tokenizer.ggml.pre", .string(preTokenizer.ggufName)),
            ("tokenizer.ggml.tokens", .strings(ids.map(fileText))),
            ("tokenizer.ggml.token_type", .int32s(ids.map(tokenType))),
            (
                "tokenizer.ggml.merges",
                .strings(listedPairs.map { fileText(Int($0.left)) + " " + fileText(Int($0.right)) })
            ),
        ]
        let named: [(String, Int32?)] = [
            ("bos", settings.bos), ("eos", settings.eos), ("unknown", settings.unknown), ("padding", settings.padding),
        ]
        for (name, id) in named {
            if let id { fields.append(("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id)))) }
        }
        fields.append(("tokenizer.ggml.add_bos_token", .bool(settings.addsBOS)))
        fields.append(("tokenizer.ggml.add_space_prefix", .bool(false)))
        if let template = settings.chatTemplate { fields.append(("tokenizer.chat_template", .string(template))) }
        return fields
    }

    private func tokenType(_ id: Int) -> Int32 {
        switch core.vocabulary.kinds[id] {
        case .ordinary: TokenType.normal
        case .special: TokenType.control
        case .added: TokenType.userDefined
        case .unused: TokenType.unused
        }
    }
}
