// Is a tokenizer still the same after it left in each of its forms and was read again?
import Foundation
import Testing
import Tokenization

/// Expects the same ids for `texts`, with and without markers, from every copy.
func expectSame(_ original: Tokenizer, in texts: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
    let copies = [
        ("serialized", try Tokenizer.deserialize(original.serialized())),
        ("Hugging Face", try reread(original)), ("GGUF", try regguf(original)),
    ]
    for (form, copy) in copies {
        #expect(copy.vocabularySize == original.vocabularySize, "\(form)", sourceLocation: sourceLocation)
        #expect(copy.bos == original.bos && copy.eos == original.eos, "\(form)", sourceLocation: sourceLocation)
        #expect(copy.padding == original.padding, "\(form)", sourceLocation: sourceLocation)
        #expect(copy.addsBOS == original.addsBOS, "\(form)", sourceLocation: sourceLocation)
        #expect(copy.chatTemplate?.source == original.chatTemplate?.source, "\(form)", sourceLocation: sourceLocation)
        // GGUF has room for one end token only.
        let ends = form == "GGUF" ? Array(original.endTokens.prefix(1)) : original.endTokens
        #expect(Set(copy.endTokens).isSuperset(of: ends), "\(form)", sourceLocation: sourceLocation)
        for text in texts {
            for specials in [false, true] {
                #expect(
                    copy.encode(text, specials: specials) == original.encode(text, specials: specials),
                    "\(form): \(text)",
                    sourceLocation: sourceLocation)
            }
        }
        for id in 0..<Int32(original.vocabularySize) where original.isSpecial(id) != copy.isSpecial(id) {
            Issue.record("\(form): \(id) is special in one of them", sourceLocation: sourceLocation)
        }
    }
    #expect(copies[0].1.serialized() == original.serialized(), sourceLocation: sourceLocation)
}

private func reread(_ original: Tokenizer) throws -> Tokenizer {
    let files = Dictionary(uniqueKeysWithValues: try original.huggingFaceFiles().map { ($0.name, $0.bytes) })
    return try Tokenizer.huggingFace(
        tokenizerJSON: try #require(files["tokenizer.json"]), configJSON: files["tokenizer_config.json"],
        chatTemplate: nil, generationConfigJSON: files["generation_config.json"])
}

/// Through the fields that a GGUF file would hold.
func regguf(_ original: Tokenizer) throws -> Tokenizer {
    var fields: [String: GGUFField] = [:]
    for (key, value) in original.ggufFields { fields[key.replacingOccurrences(of: "tokenizer.", with: "")] = value }
    func string(_ key: String) -> String? { if case .string(let text)? = fields[key] { text } else { nil } }
    func strings(_ key: String) -> [String] { if case .strings(let list)? = fields[key] { list } else { [] } }
    func id(_ key: String) -> Int32? {
        if case .uint32(let id)? = fields["ggml.\(key)_token_id"] { Int32(id) } else { nil }
    }
    var types: [Int32] = []
    if case .int32s(let list)? = fields["ggml.token_type"] { types = list }
    var addBOS: Bool?
    if case .bool(let adds)? = fields["ggml.add_bos_token"] { addBOS = adds }
    return try Tokenizer.gguf(
        model: string("ggml.model") ?? "", pre: string("ggml.pre") ?? "", tokens: strings("ggml.tokens"),
        tokenTypes: types, merges: strings("ggml.merges"), bos: id("bos"), eos: id("eos"), unknown: id("unknown"),
        padding: id("padding"), addBOS: addBOS, chatTemplate: string("chat_template"))
}
