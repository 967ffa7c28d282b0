// What do models made from nothing read and write? Bytes, and four markers.

extension Tokenizer {
    /// ChatML, the shape in which the byte vocabulary holds conversations.
    static let chatML = """
        {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' \
        + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
        """

    /// Ids 0–255 are the bytes; 256 `<|im_start|>`, 257 `<|im_end|>` (the end token), 258 `<|pad|>`,
    /// 259 `<|endoftext|>`, for text that is not a conversation. Nothing ever merges.
    package static func bytes() -> Tokenizer {
        var entries = (0...255).map { (byte: UInt8) in Vocabulary.Entry(bytes: [byte], kind: .ordinary) }
        for marker in ["<|im_start|>", "<|im_end|>", "<|pad|>", "<|endoftext|>"] {
            entries.append(Vocabulary.Entry(bytes: Array(marker.utf8), kind: .special))
        }
        var settings = Settings(preTokenizer: .gpt2)
        settings.eos = 257
        settings.padding = 258
        settings.chatTemplate = chatML
        do {
            return try Tokenizer(entries, .listed([]), settings, source: "byte vocabulary")
        } catch {
            preconditionFailure("the byte vocabulary is well-formed: \(error)")
        }
    }
}
