// How does a tokenizer leave as a Hugging Face folder?

extension Tokenizer {
    /// The files that transformers' `PreTrainedTokenizerFast` and the tokenizers library load: `tokenizer.json`,
    /// `tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json`; also `chat_template.jinja`, the
    /// template's newer place, where there is one.
    package func huggingFaceFiles() throws(TokenizationError) -> [(name: String, bytes: [UInt8])] {
        var files = [
            (name: "tokenizer.json", bytes: try tokenizerJSON().bytes),
            (name: "tokenizer_config.json", bytes: configJSON().bytes),
            (name: "special_tokens_map.json", bytes: JSON.object(namedTokens).bytes),
            (name: "generation_config.json", bytes: generationConfigJSON().bytes),
        ]
        if let template = core.settings.chatTemplate {
            files.append((name: "chat_template.jinja", bytes: Array(template.utf8)))
        }
        return files
    }

    /// A token as vocabulary files write it: the byte alphabet for ordinary ones, plain text for the others.
    func fileText(_ id: Int) -> String {
        let bytes = core.vocabulary.bytes(of: Int32(id))
        if core.vocabulary.kinds[id] == .ordinary { return ByteAlphabet.text(bytes) }
        return bytes.isEmpty ? "[PAD\(id)]" : String(decoding: bytes, as: UTF8.self)
    }

    private func tokenizerJSON() throws(TokenizationError) -> JSON {
        let (vocabulary, added) = try tokenTables()
        let merges = listedPairs.map { pair in
            JSON.list([.text(fileText(Int(pair.left))), .text(fileText(Int(pair.right)))])
        }
        var unknown = JSON.null
        var fused = false
        if case .replaced(let id, let isFused) = core.settings.missingByte {
            unknown = .text(fileText(Int(id)))
            fused = isFused
        }
        return .object([
            ("version", .text("1.0")), ("truncation", .null), ("padding", .null), ("added_tokens", .list(added)),
            ("normalizer", core.settings.composesCharacters ? .object([("type", .text("NFC"))]) : .null),
            ("pre_tokenizer", preTokenizerJSON), ("post_processor", postProcessorJSON), ("decoder", byteLevel(true)),
            (
                "model",
                .object([
                    ("type", .text("BPE")), ("dropout", .null), ("unk_token", unknown),
                    ("continuing_subword_prefix", .null), ("end_of_word_suffix", .null), ("fuse_unk", .bool(fused)),
                    ("byte_fallback", .bool(false)), ("ignore_merges", .bool(core.settings.prefersWholePieces)),
                    ("vocab", .object(vocabulary)), ("merges", .list(merges)),
                ])
            ),
        ])
    }

    /// All merges, earliest first.
    var listedPairs: [MergeOrder.Pair] {
        if case .listed(let pairs) = core.mergeOrder { return pairs }
        return core.merges.sortedPairs()
    }

    /// Markers stand in the vocabulary too: readers give ids to added tokens by counting where they do not.
    private func tokenTables() throws(TokenizationError) -> (vocabulary: [(String, JSON)], added: [JSON]) {
        var vocabulary: [(String, JSON)] = []
        var added: [JSON] = []
        var names: Set<ByteText> = []
        for id in 0..<vocabularySize {
            let kind = core.vocabulary.kinds[id]
            // A hole without bytes is an id left out; the format allows that.
            if kind == .unused, core.vocabulary.length(of: id) == 0 { continue }
            let text = fileText(id)
            guard names.insert(ByteText(text)).inserted else {
                throw .unsupported(
                    source: "tokenizer.json", subject: "token \(id)",
                    found: "a second token written `\(text.shortened())`",
                    advice: "the format holds each text once")
            }
            vocabulary.append((text, .integer(id)))
            guard kind == .special || kind == .added else { continue }
            added.append(
                .object([
                    ("id", .integer(id)), ("content", .text(text)), ("single_word", .bool(false)),
                    ("lstrip", .bool(false)), ("rstrip", .bool(false)), ("normalized", .bool(false)),
                    ("special", .bool(kind == .special)),
                ]))
        }
        return (vocabulary, added)
    }

    private func byteLevel(_ usesPattern: Bool) -> JSON {
        .object([
            ("type", .text("ByteLevel")), ("add_prefix_space", .bool(false)), ("trim_offsets", .bool(true)),
            ("use_regex", .bool(usesPattern)),
        ])
    }

    private var preTokenizerJSON: JSON {
        let parts: [JSON]
        switch preTokenizer {
        case .gpt2: return byteLevel(true)
        case .smollm:
            parts = [.object([("type", .text("Digits")), ("individual_digits", .bool(true))]), byteLevel(true)]
        case .cl100k, .o200k, .llama3, .qwen2:
            let split = JSON.object([
                ("type", .text("Split")), ("pattern", .object([("Regex", .text(preTokenizer.regularExpression))])),
                ("behavior", .text("Isolated")), ("invert", .bool(false)),
            ])
            parts = [split, byteLevel(false)]
        }
        return .object([("type", .text("Sequence")), ("pretokenizers", .list(parts))])
    }

    private var postProcessorJSON: JSON {
        guard addsBOS, let bos else { return byteLevel(false) }
        let text = JSON.text(fileText(Int(bos)))
        func special(_ type: Int) -> JSON {
            .object([("SpecialToken", .object([("id", text), ("type_id", .integer(type))]))])
        }
        func sequence(_ name: String, _ type: Int) -> JSON {
            .object([("Sequence", .object([("id", .text(name)), ("type_id", .integer(type))]))])
        }
        return .object([
            ("type", .text("TemplateProcessing")), ("single", .list([special(0), sequence("A", 0)])),
            ("pair", .list([special(0), sequence("A", 0), special(1), sequence("B", 1)])),
            (
                "special_tokens",
                .object([
                    (
                        fileText(Int(bos)),
                        .object([("id", text), ("ids", .integers([bos])), ("tokens", .list([text]))])
                    )
                ])
            ),
        ])
    }

    private var namedTokens: [(String, JSON)] {
        let named: [(String, Int32?)] = [
            ("bos_token", bos), ("eos_token", eos), ("pad_token", padding), ("unk_token", core.settings.unknown),
        ]
        return named.compactMap { key, id in id.map { (key, .text(fileText(Int($0)))) } }
    }

    private func configJSON() -> JSON {
        var members = namedTokens
        members += [
            ("tokenizer_class", .text("PreTrainedTokenizerFast")), ("add_prefix_space", .bool(false)),
            ("clean_up_tokenization_spaces", .bool(false)),
        ]
        if let template = core.settings.chatTemplate { members.append(("chat_template", .text(template))) }
        return .object(members)
    }

    private func generationConfigJSON() -> JSON {
        var members: [(String, JSON)] = []
        if let bos { members.append(("bos_token_id", .integer(Int(bos)))) }
        if !endTokens.isEmpty { members.append(("eos_token_id", .integers(endTokens))) }
        if let padding { members.append(("pad_token_id", .integer(Int(padding)))) }
        return .object(members)
    }
}
