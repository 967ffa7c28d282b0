// What do tokenizer.json's normalizer, pre-tokenizer and post-processor ask for?

extension HuggingFaceReader {
    static func composesCharacters(_ document: JSONObject) throws(TokenizationError) -> Bool {
        guard let normalizer = try document.object("normalizer") else { return false }
        let parts = try normalizer.string("type") == "Sequence" ? normalizer.objects("normalizers") : [normalizer]
        for part in parts where try part.string("type") != "NFC" {
            throw part.refused("type", advice: "only NFC or none is")
        }
        return !parts.isEmpty
    }

    /// `ByteLevel` alone, a `Split` by a known pattern before it, or `Digits` before it.
    static func preTokenizer(_ document: JSONObject) throws(TokenizationError) -> PreTokenizer {
        guard let outer = try document.object("pre_tokenizer") else {
            throw document.refused("pre_tokenizer", advice: "byte-level BPE needs a ByteLevel pre-tokenizer")
        }
        let parts = try outer.string("type") == "Sequence" ? outer.objects("pretokenizers") : [outer]
        var pattern: PreTokenizer?
        var splitsDigits = false
        var sawByteLevel = false
        for part in parts {
            let type = try part.string("type") ?? ""
            switch type {
            case "Split" where pattern == nil && !sawByteLevel && !splitsDigits:
                pattern = try splitPattern(part)
            case "Digits" where pattern == nil && !sawByteLevel:
                guard try part.bool("individual_digits") ?? false else {
                    throw part.refused("individual_digits", advice: "only digits one by one are")
                }
                splitsDigits = true
            case "ByteLevel" where !sawByteLevel:
                sawByteLevel = true
                if try part.bool("add_prefix_space") ?? true {
                    throw part.refused(
                        "add_prefix_space", advice: "only tokenizers that add no space before the text are")
                }
                guard try part.bool("use_regex") ?? true else { continue }
                guard pattern == nil else {
                    throw part.refused("use_regex", advice: "beside a Split pattern only `false` is")
                }
                pattern = splitsDigits ? .smollm : .gpt2
            default:
                throw part.refused("type", advice: "only Split by a known pattern, Digits and ByteLevel are, once each")
            }
        }
        guard sawByteLevel, let pattern, !splitsDigits || pattern == .smollm else {
            throw outer.refused("type", advice: "only Split, Digits and ByteLevel in the published combinations are")
        }
        return pattern
    }

    private static func splitPattern(_ part: JSONObject) throws(TokenizationError) -> PreTokenizer {
        guard let holder = try part.object("pattern"), let text = try holder.string("Regex") else {
            throw part.refused("pattern", advice: "only a `Regex` pattern is")
        }
        let behavior = try part.string("behavior") ?? ""
        let inverted = try part.bool("invert") ?? false
        // Every character belongs to a match, so dropping what lies between matches comes to the same.
        guard (behavior, inverted) == ("Isolated", false) || (behavior, inverted) == ("Removed", true) else {
            throw part.refused("behavior", advice: "only pieces kept as they are found are")
        }
        guard let pattern = PreTokenizer(regularExpression: text) else {
            throw .unsupported(
                source: part.source, subject: "`\(part.name("pattern"))`",
                found: "the pattern `\(text.shortened(400))`",
                advice: "the patterns of GPT-2, cl100k, o200k, Llama 3, Qwen2 and SmolLM are")
        }
        return pattern
    }

    /// The token that the post-processor puts before a single text, if any.
    static func addedFirst(
        _ document: JSONObject, _ names: [ByteText: Int32]
    ) throws(TokenizationError) -> Int32? {
        guard let outer = try document.object("post_processor") else { return nil }
        let parts = try outer.string("type") == "Sequence" ? outer.objects("processors") : [outer]
        var first: Int32?
        for part in parts {
            switch try part.string("type") {
            case "ByteLevel": continue  // moves offsets only
            case "TemplateProcessing":
                let steps = try part.objects("single")
                guard let last = steps.last, try last.object("Sequence") != nil, steps.count <= 2, first == nil else {
                    throw part.refused("single", advice: "only a token before the text is")
                }
                guard steps.count == 2 else { continue }
                guard let text = try steps[0].object("SpecialToken")?.string("id"), let id = names[ByteText(text)]
                else {
                    throw steps[0].wrong("SpecialToken", expected: "a token of the vocabulary")
                }
                first = id
            default:
                throw part.refused("type", advice: "only TemplateProcessing and ByteLevel are")
            }
        }
        return first
    }
}
