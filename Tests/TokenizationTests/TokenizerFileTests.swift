// Are files that this module cannot follow exactly refused in words?
import Foundation
import Testing

@testable import Tokenization

private func problem(_ body: () throws -> Tokenizer) -> String {
    do {
        _ = try body()
        return "nothing"
    } catch { return "\(error)" }
}

/// What reading a `tokenizer.json` with some parts exchanged complains about.
private func complaint(model: [String: Any] = [:], _ parts: [String: Any] = [:], config: String? = nil) throws -> String
{
    let small = try SmallVocabulary()
    let json = try small.tokenizerJSON(small.variants[0], model: model, parts)
    return problem {
        try Tokenizer.huggingFace(
            tokenizerJSON: json, configJSON: config.map { Array($0.utf8) }, chatTemplate: nil, generationConfigJSON: nil
        )
    }
}

@Test func `a tokenizer.json that asks for something else is refused by name`() throws {
    #expect(try complaint() == "nothing")
    #expect(
        try complaint(model: ["type": "Unigram"])
            == "tokenizer.json: `model.type`: Unigram is not supported; "
            + "only byte-level BPE is (Llama 3, Qwen, SmolLM2, GPT-2)"
    )
    #expect(try complaint(model: ["byte_fallback": true]).contains("SentencePiece"))
    #expect(try complaint(model: ["dropout": 0.1]).contains("`model.dropout`"))
    #expect(try complaint(model: ["continuing_subword_prefix": "##"]).contains("`model.continuing_subword_prefix`: ##"))
    #expect(try complaint(["normalizer": ["type": "Lowercase"]]).contains("`normalizer.type`: Lowercase"))
    #expect(try complaint(["decoder": ["type": "Metaspace"]]).contains("`decoder.type`: Metaspace"))
    #expect(try complaint(["pre_tokenizer": ["type": "Metaspace"]]).contains("`pre_tokenizer.type`: Metaspace"))
    #expect(try complaint(["pre_tokenizer": ["type": "ByteLevel"]]).contains("`pre_tokenizer.add_prefix_space`"))
    #expect(try complaint(["pre_tokenizer": NSNull()]).contains("`pre_tokenizer`: its absence"))
    let split: [String: Any] = [
        "type": "Split", "pattern": ["Regex": "\\w+|\\W+"], "behavior": "Isolated", "invert": false,
    ]
    let unknown: [String: Any] = [
        "type": "Sequence",
        "pretokenizers": [split, ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]],
    ]
    #expect(try complaint(["pre_tokenizer": unknown]).contains("the pattern `\\w+|\\W+` is not supported"))
    #expect(
        try complaint(["post_processor": ["type": "BertProcessing"]]).contains("`post_processor.type`: BertProcessing"))
    #expect(try complaint(config: #"{"add_prefix_space": true}"#).contains("`add_prefix_space`"))
    #expect(
        try complaint(config: #"{"eos_token": "<nowhere>"}"#).contains(
            "`eos_token`: expected a token of tokenizer.json, found <nowhere>"))
}

@Test func `a damaged tokenizer.json is refused where it is damaged`() throws {
    #expect(try complaint(model: ["merges": ["a b c"]]).contains("`model.merges[0]`: `a b c` is not two tokens"))
    #expect(try complaint(model: ["merges": ["Ġ zzz"]]).contains("`model.merges[0]`"))
    #expect(try complaint(model: ["merges": ["! !"]]).contains("merge 0: `!!` is not in the vocabulary"))
    #expect(try complaint(model: ["merges": ["Ġ t", "Ġ t"]]).contains("merge 1: the pair for `Ġt` occurs twice"))
    #expect(try complaint(model: ["vocab": ["a": 2_000_000_000]]).contains("id 2000000000 after 0 others"))
    #expect(try complaint(model: ["vocab": ["a": -1]]).contains("id -1"))
    #expect(try complaint(model: ["vocab": ["a": 1, "b": 1], "merges": []]).contains("id 1: given to both"))
    #expect(try complaint(model: ["vocab": ["a": "x"]]).contains("`model.vocab.a`: expected a token id, found x"))
    #expect(try complaint(model: ["vocab": NSNull()]).contains("`model.vocab`: expected an object, found nothing"))
    #expect(try complaint(["added_tokens": [["id": 3]]]).contains("`added_tokens[0].content`"))
    let stripping: [String: Any] = ["id": 700, "content": "<m>", "lstrip": true]
    #expect(try complaint(["added_tokens": [stripping]]).contains("`added_tokens[0].lstrip`"))
    let broken = problem {
        try Tokenizer.huggingFace(
            tokenizerJSON: Array("{\"model\": ".utf8), configJSON: nil, chatTemplate: nil, generationConfigJSON: nil)
    }
    #expect(broken == "tokenizer.json: document: not JSON (10 bytes)")
}

@Test func `a post-processor that puts a token first marks the tokenizer`() throws {
    let small = try SmallVocabulary()
    let processor: [String: Any] = [
        "type": "Sequence",
        "processors": [
            ["type": "ByteLevel"],
            [
                "type": "TemplateProcessing",
                "single": [
                    ["SpecialToken": ["id": "<|im_start|>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]],
                ],
            ],
        ],
    ]
    let json = try small.tokenizerJSON(small.variants[3], ["post_processor": processor])
    let tokenizer = try Tokenizer.huggingFace(
        tokenizerJSON: json, configJSON: nil, chatTemplate: "x", generationConfigJSON: nil)
    #expect(tokenizer.addsBOS && tokenizer.bos == 607)
    try expectSame(tokenizer, in: ["a b"])
}

@Test func `a byte without a token is dropped, or becomes the unknown token where the file says so`() throws {
    func tokenizer(_ changes: [String: Any]) throws -> Tokenizer {
        let small = try SmallVocabulary()
        var model: [String: Any] = ["vocab": ["a": 0, "b": 1, "?": 2, "ab": 3], "merges": ["a b"]]
        model.merge(changes) { $1 }
        return try Tokenizer.huggingFace(
            tokenizerJSON: try small.tokenizerJSON(small.variants[0], model: model, ["added_tokens": []]),
            configJSON: nil,
            chatTemplate: nil, generationConfigJSON: nil)
    }
    #expect(try tokenizer([:]).encode("azzb", specials: false) == [3])
    #expect(try tokenizer(["unk_token": "?"]).encode("azzb", specials: false) == [0, 2, 2, 1])
    #expect(try tokenizer(["unk_token": "?", "fuse_unk": true]).encode("azzb", specials: false) == [0, 2, 1])
    let copy = try Tokenizer.deserialize(tokenizer(["unk_token": "?", "fuse_unk": true]).serialized())
    #expect(copy.encode("azzb", specials: false) == [0, 2, 1])
}

private func gguf(
    model: String = "gpt2", pre: String = "gpt-2", tokens: [String] = ["a", "b", "ab", "<e>", "[PAD]"],
    types: [Int32] = [1, 1, 1, 3, 5], merges: [String] = ["a b"], eos: Int32? = 3
) throws -> Tokenizer {
    try Tokenizer.gguf(
        model: model, pre: pre, tokens: tokens, tokenTypes: types, merges: merges, bos: nil, eos: eos, unknown: nil,
        padding: nil, addBOS: nil, chatTemplate: nil)
}

@Test func `a GGUF tokenizer reads its token types, and refuses other models in words`() throws {
    let tokenizer = try gguf()
    #expect(tokenizer.encode("ab<e>[PAD]", specials: true) == [2, 3])
    #expect(tokenizer.isSpecial(3) && !tokenizer.isSpecial(4))
    #expect(
        problem { try gguf(model: "llama") }
            == "GGUF: `tokenizer.ggml.model`: `llama` (SentencePiece) is not supported; "
            + "use a model with byte-level BPE, which GGUF calls `gpt2` (Llama 3, Qwen, SmolLM2)")
    #expect(problem { try gguf(pre: "tekken") }.contains("`tokenizer.ggml.pre`: `tekken`"))
    #expect(problem { try gguf(types: [1]) }.contains("1 entries for 5 tokens"))
    #expect(problem { try gguf(types: [1, 1, 1, 6, 5]) }.contains("type 6 (a SentencePiece byte)"))
    #expect(problem { try gguf(merges: ["a"]) }.contains("`tokenizer.ggml.merges`[0]: `a`"))
    #expect(
        problem { try gguf(tokens: ["a", "b", "ab", "a", "x"], types: [1, 1, 1, 1, 1]) }.contains(
            "token 0 has the same bytes"))
    #expect(problem { try gguf(eos: 5) }.contains("end token: id 5 in a vocabulary of 5"))
    #expect(problem { try gguf(eos: -1) }.contains("end token: id -1"))
}

@Test func `pre-tokenizer names of GGUF lead to their patterns`() throws {
    let names: [(String, PreTokenizer)] = [
        ("gpt-2", .gpt2), ("default", .gpt2), ("smollm", .smollm), ("llama-bpe", .llama3), ("qwen2", .qwen2),
        ("gpt-4o", .o200k),
    ]
    for (name, pattern) in names { #expect(try gguf(pre: name).preTokenizer == pattern) }
    for pattern in PreTokenizer.allCases where pattern != .cl100k {
        #expect(PreTokenizer(ggufName: pattern.ggufName) == pattern)
        if pattern != .smollm { #expect(PreTokenizer(regularExpression: pattern.regularExpression) == pattern) }
    }
    #expect(PreTokenizer(regularExpression: PreTokenizer.cl100k.regularExpression) == .cl100k)
}

@Test func `a .tiktoken file is read line by line, and its faults are named`() throws {
    func read(_ text: String, _ specials: [(String, Int32)] = []) throws -> Tokenizer {
        try Tokenizer.tiktoken(Array(text.utf8), pattern: .gpt2, specials: specials)
    }
    // a, b, c, ab, bc: the lower rank joins first; a whole piece that is a token wins.
    let tokenizer = try read("YQ== 0\nYg== 1\r\nYw== 2\n\nYWI= 4\nYmM= 3\n", [("<|endoftext|>", 9)])
    #expect(tokenizer.encode("abc ab", specials: true) == [0, 3, 4])
    #expect(tokenizer.encode("ab<|endoftext|>", specials: true) == [4, 9])
    #expect(tokenizer.vocabularySize == 10 && tokenizer.eos == 9)
    #expect(problem { try read("YQ== 0\nYg=\n") }.contains("line 2: `Yg=` is not `base64 rank`"))
    #expect(problem { try read("Y!== 0\n") }.contains("line 1"))
    #expect(problem { try read("") }.contains("no tokens in 0 bytes"))
    #expect(problem { try read("YQ== 0\nYg== 0\n") }.contains("id 0: given to both `a` and `b`"))
    #expect(problem { try read("YQ== 0\nYQ== 1\n") }.contains("token 1 `a`: token 0 has the same bytes"))
    #expect(problem { try read("YQ== 99999999999\n") }.contains("id 99999999999 after 0 others"))
}

@Test func `a serialized tokenizer that was tampered with is refused`() throws {
    let bytes = Tokenizer.bytes().serialized()
    let text = String(decoding: bytes, as: UTF8.self)
    func changed(_ old: String, _ new: String) -> String {
        problem { try Tokenizer.deserialize(Array(text.replacingOccurrences(of: old, with: new).utf8)) }
    }
    #expect(changed("x_no_such_text_x", "") == "nothing")
    #expect(changed("rookery tokenizer 1", "rookery tokenizer 9").contains("`format`: expected `rookery tokenizer 1`"))
    #expect(changed("\"eos\":257", "\"eos\":999").contains("end token: id 999 in a vocabulary of 260"))
    #expect(changed("\"merges\":[]", "\"merges\":[0,400]").contains("`merges`: expected pairs of ids below 260"))
    #expect(changed("2024,7,26", "2024,17,26").contains("`template_date`"))
    #expect(changed("\"kinds\":[0,", "\"kinds\":[7,").contains("token 0"))
    #expect(changed("gpt2", "gpt9").contains("`pre_tokenizer`"))
    #expect(problem { try Tokenizer.deserialize([]) }.contains("not JSON (0 bytes)"))
}

@Test func `a template that cannot be read spares plain text and is reported when it is used`() throws {
    let tokenizer = try Tokenizer.gguf(
        model: "gpt2", pre: "gpt-2", tokens: ["a"], tokenTypes: [], merges: [], bos: nil, eos: nil, unknown: nil,
        padding: nil, addBOS: nil, chatTemplate: "{% import 'x' %}")
    #expect(tokenizer.encode("a", specials: true) == [0])
    #expect(tokenizer.chatTemplate == nil)
    #expect(throws: TokenizationError.template(line: 1, problem: "the tag `import` is not supported here")) {
        try tokenizer.render([], addGenerationPrompt: false)
    }
    #expect(throws: TokenizationError.noChatTemplate) { try gguf().render([], addGenerationPrompt: false) }
}
