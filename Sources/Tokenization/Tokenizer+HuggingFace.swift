// How is a Hugging Face folder's tokenizer read? Everything that would change an id is understood or refused.

extension Tokenizer {
    /// - Parameters:
    ///   - tokenizerJSON: `tokenizer.json` of the tokenizers library, a byte-level BPE model.
    ///   - configJSON: `tokenizer_config.json`: the named special tokens, and the chat template in most models.
    ///   - chatTemplate: `chat_template.jinja`, which comes before the config's template.
    ///   - generationConfigJSON: `generation_config.json`: further end tokens.
    ///
    /// Truncation and padding left behind in the file are not followed: they belong to the program that saved it.
    package static func huggingFace(
        tokenizerJSON: [UInt8], configJSON: [UInt8]?, chatTemplate: String?, generationConfigJSON: [UInt8]?
    ) throws(TokenizationError) -> Tokenizer {
        let document = try JSONObject(tokenizerJSON, source: "tokenizer.json")
        guard let model = try document.object("model") else { throw document.wrong("model", expected: "an object") }
        try HuggingFaceReader.checkModel(model)
        try HuggingFaceReader.checkDecoder(document)

        var (entries, ids) = try HuggingFaceReader.vocabulary(model)
        let pairs = try HuggingFaceReader.merges(model, ids)
        var names = ids
        try HuggingFaceReader.addTokens(document, &entries, &names)

        var settings = Settings(preTokenizer: try HuggingFaceReader.preTokenizer(document))
        settings.composesCharacters = try HuggingFaceReader.composesCharacters(document)
        settings.prefersWholePieces = try model.bool("ignore_merges") ?? false
        if let unknown = try model.string("unk_token") {
            guard let id = names[ByteText(unknown)] else { throw model.wrong("unk_token", expected: "a token's text") }
            settings.missingByte = .replaced(by: id, fused: try model.bool("fuse_unk") ?? false)
            settings.unknown = id
        }
        if let config = try configJSON.map({ bytes throws(TokenizationError) in
            try JSONObject(bytes, source: "tokenizer_config.json")
        }) {
            try HuggingFaceReader.applyConfig(config, names, &settings, &entries)
        }
        if let chatTemplate { settings.chatTemplate = chatTemplate }
        if let bytes = generationConfigJSON {
            let generation = try JSONObject(bytes, source: "generation_config.json")
            settings.generationEnds = try generation.ids("eos_token_id")
            if settings.eos == nil { settings.eos = settings.generationEnds.first }
        }
        if let first = try HuggingFaceReader.addedFirst(document, names) {
            settings.addsBOS = true
            if settings.bos == nil { settings.bos = first }
            guard settings.bos == first else {
                throw document.refused(
                    "post_processor", advice: "only a post-processor that puts the beginning-of-text token first is")
            }
        }
        return try Tokenizer(entries, .listed(pairs), settings, source: "tokenizer.json")
    }
}

/// Text compared by its bytes: `String` holds `é` and `e` + accent for equal, vocabularies do not.
struct ByteText: Hashable {
    let bytes: [UInt8]
    init(_ text: some StringProtocol) { bytes = Array(text.utf8) }
}

enum HuggingFaceReader {
    static func checkModel(_ model: JSONObject) throws(TokenizationError) {
        let type = try model.string("type") ?? "BPE"
        guard type == "BPE" else {
            throw model.refused("type", advice: "only byte-level BPE is (Llama 3, Qwen, SmolLM2, GPT-2)")
        }
        for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
            if let text = model.value(key), (text as? String) != "" {
                throw model.refused(key, advice: "use a byte-level BPE tokenizer without it")
            }
        }
        if try model.bool("byte_fallback") ?? false {
            throw model.refused("byte_fallback", advice: "this is a SentencePiece vocabulary; only byte-level BPE is")
        }
    }

    static func checkDecoder(_ document: JSONObject) throws(TokenizationError) {
        guard let decoder = try document.object("decoder") else { return }
        let parts = try decoder.string("type") == "Sequence" ? decoder.objects("decoders") : [decoder]
        for part in parts where try part.string("type") != "ByteLevel" {
            throw part.refused("type", advice: "only the ByteLevel decoder is")
        }
    }

    static func vocabulary(
        _ model: JSONObject
    ) throws(TokenizationError) -> (entries: [Vocabulary.Entry], ids: [ByteText: Int32]) {
        guard let vocab = try model.object("vocab") else { throw model.wrong("vocab", expected: "an object") }
        var listed: [(id: Int, text: String)] = []
        listed.reserveCapacity(vocab.fields.count)
        for (text, value) in vocab.fields {
            guard let id = value as? Int else { throw vocab.wrong(text, expected: "a token id") }
            listed.append((id, text))
        }
        listed.sort { $0.id < $1.id }
        var entries: [Vocabulary.Entry] = []
        entries.reserveCapacity(listed.count)
        var ids: [ByteText: Int32] = [:]
        ids.reserveCapacity(listed.count)
        for (id, text) in listed {
            let entry = Vocabulary.Entry(alphabetText: text)
            try Tokenizer.place(entry, at: id, in: &entries, "tokenizer.json")
            ids[ByteText(text)] = Int32(id)
        }
        return (entries, ids)
    }

    /// Each merge is a list of two strings, or one string with a space between them.
    static func merges(
        _ model: JSONObject, _ ids: [ByteText: Int32]
    ) throws(TokenizationError) -> [MergeOrder.Pair] {
        let list = try model.list("merges") ?? []
        var pairs: [MergeOrder.Pair] = []
        pairs.reserveCapacity(list.count)
        for (rank, item) in list.enumerated() {
            let halves = (item as? [String]) ?? (item as? String)?.split(separator: " ").map(String.init) ?? []
            guard halves.count == 2, let left = ids[ByteText(halves[0])], let right = ids[ByteText(halves[1])] else {
                throw .malformed(
                    source: model.source, subject: "`\(model.name("merges"))[\(rank)]`",
                    problem: "`\("\(item)".shortened(60))` is not two tokens of the vocabulary")
            }
            pairs.append(MergeOrder.Pair(left: left, right: right))
        }
        return pairs
    }

    static func addTokens(
        _ document: JSONObject, _ entries: inout [Vocabulary.Entry], _ names: inout [ByteText: Int32]
    ) throws(TokenizationError) {
        for token in try document.objects("added_tokens") {
            guard let content = try token.string("content"), !content.isEmpty else {
                throw token.wrong("content", expected: "the token's text")
            }
            for key in ["lstrip", "rstrip", "single_word"] where try token.bool(key) ?? false {
                throw token.refused(key, advice: "only added tokens that match their text alone are")
            }
            guard let id = try token.id("id"), id >= 0 else { throw token.wrong("id", expected: "a token id") }
            let entry = Vocabulary.Entry(
                bytes: Array(content.utf8), kind: try token.bool("special") ?? false ? .special : .added)
            if let known = names[ByteText(content)] {
                guard known == id else { throw token.wrong("id", expected: "\(known), which the vocabulary gives") }
                entries[Int(id)] = entry
            } else {
                try Tokenizer.place(entry, at: Int(id), in: &entries, document.source)
                names[ByteText(content)] = id
            }
        }
    }

    static func applyConfig(
        _ config: JSONObject, _ names: [ByteText: Int32], _ settings: inout Tokenizer.Settings,
        _ entries: inout [Vocabulary.Entry]
    ) throws(TokenizationError) {
        if try config.bool("add_prefix_space") ?? false {
            throw config.refused("add_prefix_space", advice: "only tokenizers that add no space before the text are")
        }
        func id(_ key: String) throws(TokenizationError) -> Int32? {
            guard let value = config.value(key) else { return nil }
            guard let text = (value as? String) ?? ((value as? [String: Any])?["content"] as? String) else {
                throw config.wrong(key, expected: "a token's text")
            }
            guard let id = names[ByteText(text)] else { throw config.wrong(key, expected: "a token of tokenizer.json") }
            if entries[Int(id)].kind != .special {
                entries[Int(id)] = Vocabulary.Entry(bytes: Array(text.utf8), kind: .special)
            }
            return id
        }
        settings.bos = try id("bos_token")
        settings.eos = try id("eos_token")
        settings.padding = try id("pad_token")
        if let unknown = try id("unk_token") { settings.unknown = unknown }
        settings.chatTemplate = try template(config)
    }

    /// One template, or several by name, of which the one called `default` is taken.
    private static func template(_ config: JSONObject) throws(TokenizationError) -> String? {
        guard let value = config.value("chat_template") else { return nil }
        if let text = value as? String { return text }
        let all = try config.objects("chat_template")
        for named in all where try named.string("name") == "default" { return try named.string("template") }
        throw config.wrong("chat_template", expected: "a template named `default` among the \(all.count)")
    }
}

extension Vocabulary.Entry {
    /// A token written in the byte alphabet. Text outside the alphabet stands for itself and is never matched.
    init(alphabetText text: String) {
        if let bytes = ByteAlphabet.bytes(text) {
            self.init(bytes: bytes, kind: .ordinary)
        } else {
            self.init(bytes: Array(text.utf8), kind: .unused)
        }
    }
}
