// Do the published vocabularies give the published ids? Against tiktoken's and the tokenizers library's own output.
import Foundation
import Testing
import Rollouts
import Tokenization

private struct Vector: Decodable {
    var id: Int
    var text: String
    var cl100k_base: [Int32]
    var o200k_base: [Int32]
    var gpt2: [Int32]
    var smollm2: [Int32]
    var smollm2_roundtrip: Bool?
    var with_specials: [String: [Int32]]?
}

private struct PartialDecoding: Decodable {
    var encoding: String
    var ids: [Int32]
    var bytes_hex: String
    var utf8_lossy: String
}

private enum Published {
    static let vectors = Result {
        try TestFiles.lines(try TestFiles.unzipped(try TestFiles.fixture("vectors.jsonl.gz")), of: Vector.self)
    }
    static let cl100kSpecials: [(String, Int32)] = [
        ("<|endoftext|>", 100257), ("<|fim_prefix|>", 100258), ("<|fim_middle|>", 100259), ("<|fim_suffix|>", 100260),
        ("<|endofprompt|>", 100276),
    ]
    static let tokenizers = Result {
        func load(
            _ name: String, _ pattern: PreTokenizer, _ specials: [(String, Int32)]
        ) throws -> Tokenizer {
            let file = TestFiles.vocabularies.appendingPathComponent("\(name).tiktoken.gz")
            return try Tokenizer.tiktoken([UInt8](try TestFiles.unzipped(file)), pattern: pattern, specials: specials)
        }
        return [
            "gpt2": try load("r50k_base", .gpt2, [("<|endoftext|>", 50256)]),
            "cl100k_base": try load("cl100k_base", .cl100k, cl100kSpecials),
            "cl100k_im": try load(
                "cl100k_base", .cl100k,
                cl100kSpecials + [("<|im_start|>", 100264), ("<|im_end|>", 100265), ("<|im_sep|>", 100266)]),
            "o200k_base": try load("o200k_base", .o200k, [("<|endoftext|>", 199999), ("<|endofprompt|>", 200018)]),
        ]
    }
    static let smolLM2 = Result { try GGUFMetadata(TestFiles.smolLM2).tokenizer() }
}

@Test(.enabled(if: TestFiles.hasVocabularies), arguments: ["gpt2", "cl100k_base", "o200k_base"])
func `every published text has the ids that tiktoken gives it`(name: String) throws {
    let tokenizer = try #require(try Published.tokenizers.get()[name])
    let vectors = try Published.vectors.get()
    #expect(vectors.count == 277)
    for vector in vectors {
        let expected = name == "gpt2" ? vector.gpt2 : name == "cl100k_base" ? vector.cl100k_base : vector.o200k_base
        #expect(tokenizer.encode(vector.text, specials: false) == expected, "text \(vector.id): \(vector.text)")
        #expect(tokenizer.decode(expected, skipSpecials: false).utf8.elementsEqual(vector.text.utf8))
    }
}

@Test(.enabled(if: TestFiles.hasVocabularies))
func `control markers are honoured where asked for, in every published vocabulary`() throws {
    let tokenizers = try Published.tokenizers.get()
    var compared = 0
    for vector in try Published.vectors.get() {
        for (name, expected) in vector.with_specials ?? [:] where name != "smollm2" {
            let tokenizer = try #require(tokenizers[name])
            #expect(
                tokenizer.encode(vector.text, specials: true) == expected, "\(name), text \(vector.id): \(vector.text)")
            compared += 1
        }
    }
    #expect(compared == 17 * 4)
}

@Test(.enabled(if: TestFiles.hasVocabularies))
func `published vocabularies have their published sizes`() throws {
    let tokenizers = try Published.tokenizers.get()
    #expect(tokenizers["gpt2"]?.vocabularySize == 50257)
    #expect(tokenizers["cl100k_base"]?.vocabularySize == 100277)
    #expect(tokenizers["o200k_base"]?.vocabularySize == 200019)
    #expect(tokenizers["o200k_base"]?.eos == 199999)
}

@Test(.enabled(if: TestFiles.hasVocabularies))
func `tokens that end inside a character decode and stream alike`() throws {
    let tokenizers = try Published.tokenizers.get()
    let url = try TestFiles.fixture("decode_partial.jsonl")
    let rows = try TestFiles.lines(try Data(contentsOf: url), of: PartialDecoding.self)
    #expect(rows.count == 189)
    for row in rows {
        let tokenizer = try #require(tokenizers[row.encoding])
        let hex = row.ids.flatMap { tokenizer.bytes(of: $0) }
            .map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(hex == row.bytes_hex)
        #expect(
            tokenizer.decode(row.ids, skipSpecials: false).unicodeScalars.elementsEqual(row.utf8_lossy.unicodeScalars))
        var decoder = StreamingDecoder(tokenizer, skipSpecials: false)
        let parts = row.ids.map { decoder.append($0) } + [decoder.finish()]
        #expect(parts.joined().unicodeScalars.elementsEqual(row.utf8_lossy.unicodeScalars), "\(row.ids): \(parts)")
        // The unfinished character is all that is held back.
        #expect(parts.last == "\u{FFFD}")
    }
}

@Test(.enabled(if: TestFiles.hasSmolLM2))
func `SmolLM2's vocabulary, read from its GGUF file, gives the published ids`() throws {
    let tokenizer = try Published.smolLM2.get()
    #expect(tokenizer.vocabularySize == 49152)
    #expect(tokenizer.endTokens == [2])
    for vector in try Published.vectors.get() {
        #expect(tokenizer.encode(vector.text, specials: false) == vector.smollm2, "text \(vector.id): \(vector.text)")
        if let expected = vector.with_specials?["smollm2"] {
            #expect(tokenizer.encode(vector.text, specials: true) == expected, "text \(vector.id): \(vector.text)")
        }
        // Bytes without a token are dropped, so a few texts lose characters.
        let returns = tokenizer.decode(vector.smollm2, skipSpecials: false).utf8.elementsEqual(vector.text.utf8)
        #expect(returns == (vector.smollm2_roundtrip ?? true), "text \(vector.id)")
    }
}

@Test(.enabled(if: TestFiles.hasSmolLM2))
func `SmolLM2's own template adds its default system turn`() throws {
    let tokenizer = try Published.smolLM2.get()
    let expected = """
        <|im_start|>system
        You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
        <|im_start|>user
        Hi<|im_end|>
        <|im_start|>assistant

        """
    #expect(try tokenizer.render([.init(role: "user", content: "Hi")], addGenerationPrompt: true) == expected)
    let ids = try tokenizer.encodeChat([.init(role: "user", content: "Hi")], addGenerationPrompt: true)
    #expect(ids == tokenizer.encode(expected, specials: true))
    #expect(ids.filter { $0 == 1 }.count == 3 && ids.filter { $0 == 2 }.count == 2)
}

@Test(.enabled(if: TestFiles.hasSmolLM2))
func `SmolLM2's tokenizer is the same after leaving as GGUF fields, as Hugging Face files and in serialized form`()
    throws
{
    let original = try Published.smolLM2.get()
    try expectSame(original, in: try Published.vectors.get().map(\.text))
}

@Test(.enabled(if: TestFiles.hasVocabularies))
func `a .tiktoken vocabulary is the same after leaving as Hugging Face files and in serialized form`() throws {
    let original = try #require(try Published.tokenizers.get()["gpt2"])
    try expectSame(original, in: try Published.vectors.get().map(\.text))
}
