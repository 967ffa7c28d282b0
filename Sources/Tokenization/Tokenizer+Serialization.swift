// How does a whole tokenizer travel from the coordinator to a worker? As one JSON document; equal tokenizers give equal
// bytes, so its hash can stand for the tokenizer.

extension Tokenizer {
    private static let format = "rookery tokenizer 1"

    package func serialized() -> [UInt8] {
        let settings = core.settings
        func id(_ value: Int32?) -> JSON { value.map { .integer(Int($0)) } ?? .null }
        let tokens = (0..<vocabularySize).map { JSON.text(ByteAlphabet.text(core.vocabulary.bytes(of: Int32($0)))) }
        var merges = JSON.null
        if case .listed(let pairs) = core.mergeOrder { merges = .integers(pairs.flatMap { [$0.left, $0.right] }) }
        var missing = JSON.null
        var fused = false
        if case .replaced(let unknown, let isFused) = settings.missingByte {
            missing = .integer(Int(unknown))
            fused = isFused
        }
        let date = templateDate
        return JSON.object([
            ("format", .text(Tokenizer.format)),
            ("pre_tokenizer", .text(settings.preTokenizer.rawValue)),
            ("composes_characters", .bool(settings.composesCharacters)),
            ("prefers_whole_pieces", .bool(settings.prefersWholePieces)),
            ("missing_byte", missing), ("fuses_missing_bytes", .bool(fused)),
            ("bos", id(settings.bos)), ("eos", id(settings.eos)), ("unknown", id(settings.unknown)),
            ("padding", id(settings.padding)), ("generation_ends", .integers(settings.generationEnds)),
            ("adds_bos", .bool(settings.addsBOS)),
            ("chat_template", settings.chatTemplate.map { .text($0) } ?? .null),
            (
                "template_date",
                .integers([date.year, date.month, date.day, date.hour, date.minute, date.second].map(Int32.init))
            ),
            ("tokens", .list(tokens)),
            ("kinds", .integers(core.vocabulary.kinds.map { Int32($0.rawValue) })),
            // Pairs of ids, flat; null: any two tokens whose bytes together are a token, lowest id first.
            ("merges", merges),
        ]).bytes
    }

    /// - Parameter bytes: what `serialized` gave, perhaps in another process.
    package static func deserialize(_ bytes: [UInt8]) throws(TokenizationError) -> Tokenizer {
        let source = "serialized tokenizer"
        let document = try JSONObject(bytes, source: source)
        guard try document.string("format") == format else { throw document.wrong("format", expected: "`\(format)`") }
        guard let name = try document.string("pre_tokenizer"), let preTokenizer = PreTokenizer(rawValue: name) else {
            throw document.wrong("pre_tokenizer", expected: "one of \(PreTokenizer.allCases.map(\.rawValue))")
        }
        var settings = Settings(preTokenizer: preTokenizer)
        settings.composesCharacters = try document.bool("composes_characters") ?? false
        settings.prefersWholePieces = try document.bool("prefers_whole_pieces") ?? false
        if let missing = try document.id("missing_byte") {
            settings.missingByte = .replaced(by: missing, fused: try document.bool("fuses_missing_bytes") ?? false)
        }
        settings.bos = try document.id("bos")
        settings.eos = try document.id("eos")
        settings.unknown = try document.id("unknown")
        settings.padding = try document.id("padding")
        settings.generationEnds = try document.ids("generation_ends")
        settings.addsBOS = try document.bool("adds_bos") ?? false
        settings.chatTemplate = try document.string("chat_template")

        let entries = try readEntries(document)
        let order = try readMerges(document, count: entries.count)
        var tokenizer = try Tokenizer(entries, order, settings, source: source)
        let date = try document.ids("template_date").map(Int.init)
        guard date.count == 6,
            let valid = CalendarDate(
                checkedYear: date[0], month: date[1], day: date[2], hour: date[3], minute: date[4], second: date[5])
        else { throw document.wrong("template_date", expected: "year, month, day, hour, minute, second") }
        tokenizer.templateDate = valid
        return tokenizer
    }

    private static func readEntries(_ document: JSONObject) throws(TokenizationError) -> [Vocabulary.Entry] {
        let tokens = try document.list("tokens") ?? []
        let kinds = try document.ids("kinds")
        guard tokens.count == kinds.count else {
            throw document.wrong("kinds", expected: "one for each of \(tokens.count) tokens")
        }
        var entries: [Vocabulary.Entry] = []
        entries.reserveCapacity(tokens.count)
        for (token, kind) in zip(tokens, kinds) {
            guard let text = token as? String, let bytes = ByteAlphabet.bytes(text),
                let raw = UInt8(exactly: kind), let kind = Vocabulary.Kind(rawValue: raw)
            else {
                throw .malformed(
                    source: document.source, subject: "token \(entries.count)",
                    problem:
                        "expected text in the byte alphabet and a kind, found `\("\(token)".shortened(60))`, \(kind)")
            }
            entries.append(Vocabulary.Entry(bytes: bytes, kind: kind))
        }
        return entries
    }

    private static func readMerges(_ document: JSONObject, count: Int) throws(TokenizationError) -> MergeOrder {
        guard document.value("merges") != nil else { return .byIdentifier }
        let flat = try document.ids("merges")
        guard flat.count % 2 == 0, flat.allSatisfy({ $0 >= 0 && Int($0) < count }) else {
            throw document.wrong("merges", expected: "pairs of ids below \(count)")
        }
        return .listed(
            stride(from: 0, to: flat.count, by: 2).map { MergeOrder.Pair(left: flat[$0], right: flat[$0 + 1]) })
    }
}
