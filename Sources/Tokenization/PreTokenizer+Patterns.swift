// How do files name the pre-tokenizers? Regular expressions in tokenizer.json, short names in GGUF.

extension PreTokenizer {
    /// The regular expressions that `tokenizer.json` files carry for each pattern; the first is the one we write.
    private static let knownPatterns: [(PreTokenizer, [String])] = [
        (
            .gpt2,
            [
                #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
                #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
                #"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"#,
            ]
        ),
        (
            .cl100k,
            [
                // `\z`: some engines let `$` match before a line break.
                #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|"#
                    + #"\s*[\r\n]|\s+(?!\S)|\s"#,
                #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"#
                    + #"\s++$|\s*[\r\n]|\s+(?!\S)|\s"#,
            ]
        ),
        (
            .llama3,
            [
                #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"#
                    + #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            ]
        ),
        (
            .qwen2,
            [
                #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"#
                    + #"\s*[\r\n]+|\s+(?!\S)|\s+"#
            ]
        ),
        (
            .o200k,
            [
                #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|"#
                    + #"'ve|'m|'ll|'d)?|"#
                    + #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|"#
                    + #"'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            ]
        ),
    ]

    init?(regularExpression text: String) {
        let match = PreTokenizer.knownPatterns.first { $0.1.contains { $0.utf8.elementsEqual(text.utf8) } }
        guard let match else { return nil }
        self = match.0
    }

    /// For writing; SmolLM's is a digit splitter followed by GPT-2's.
    var regularExpression: String {
        let own = self == .smollm ? PreTokenizer.gpt2 : self
        return PreTokenizer.knownPatterns.first { $0.0 == own }!.1[0]  // the list above has every case but smollm
    }

    /// Values of `tokenizer.ggml.pre` whose pattern is one of ours; the first name of a row is the one we write.
    /// `dbrx` is the nearest to cl100k that GGUF has: it differs in white space with line breaks at a text's end.
    /// `default` marks converters that did not know the tokenizer; GPT-2's is what those mostly had.
    private static let ggufNames: [(PreTokenizer, [String])] = [
        (.gpt2, ["gpt-2", "default", "", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"]),
        (.smollm, ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"]),
        (
            .llama3,
            [
                "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "dbrx",
                "smaug-bpe",
            ]
        ),
        (.qwen2, ["qwen2", "stablelm2", "deepseek-r1-qwen", "megrez"]),
        (.o200k, ["gpt-4o", "llama4"]),
    ]

    init?(ggufName name: String) {
        guard let match = PreTokenizer.ggufNames.first(where: { $0.1.contains(name) }) else { return nil }
        self = match.0
    }

    var ggufName: String {
        self == .cl100k ? "dbrx" : PreTokenizer.ggufNames.first { $0.0 == self }!.1[0]  // every other case has a row
    }
}
