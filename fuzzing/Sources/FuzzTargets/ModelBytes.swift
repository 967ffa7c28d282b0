// What may a model file, or a file beside it, hold?

import Rollouts
import Tokenization
import Weights

enum ModelBytes {
    static func gguf(_ bytes: [UInt8]) throws {
        let file = try GGUFFile(bytes: bytes, path: "model.gguf")
        for tensor in file.tensors {
            try FuzzFinding.require(
                file.bytes(of: tensor).count == tensor.byteCount, "\(tensor.name) has other bytes than it says")
            try read(tensor.elementCount) { file.read(tensor, into: $0) }
        }
        if file.metadata["tokenizer.ggml.tokens"] != nil { try use(tokenizer(file.metadata)) }
        let config = try GGUFModel(file).config
        try FuzzFinding.require(config.tensors.allSatisfy { $0.elementCount > 0 }, "a model has an empty tensor")
    }

    private static func tokenizer(_ fields: [String: GGUFValue]) throws(TokenizationError) -> Tokenizer {
        func identifier(_ key: String) -> Int32? {
            fields["tokenizer.ggml." + key]?.integer.flatMap(Int32.init(exactly:))
        }
        return try Tokenizer.gguf(
            model: fields["tokenizer.ggml.model"]?.string ?? "",
            pre: fields["tokenizer.ggml.pre"]?.string ?? "default",
            tokens: fields["tokenizer.ggml.tokens"]?.strings ?? [],
            tokenTypes: fields["tokenizer.ggml.token_type"]?.integers?.compactMap(Int32.init(exactly:)) ?? [],
            merges: fields["tokenizer.ggml.merges"]?.strings ?? [], bos: identifier("bos_token_id"),
            eos: identifier("eos_token_id"), unknown: identifier("unknown_token_id"),
            padding: identifier("padding_token_id"), addBOS: fields["tokenizer.ggml.add_bos_token"]?.bool,
            chatTemplate: fields["tokenizer.chat_template"]?.string)
    }

    static func safetensors(_ bytes: [UInt8]) throws {
        let file = try SafetensorsFile(bytes: bytes, path: "model.safetensors")
        var end: Int?
        for tensor in file.tensors {
            try FuzzFinding.require(end == nil || end == tensor.offset, "\(tensor.name) does not follow the one before")
            end = tensor.offset + tensor.byteCount
            guard let type = tensor.type else { continue }
            try read(tensor.byteCount * type.blockElements / type.blockBytes) { try file.read(tensor, into: $0) }
        }
        try FuzzFinding.require(end == nil || end == bytes.count, "bytes after the last tensor")
    }

    /// Whether every element of an accepted tensor can be read.
    private static func read(
        _ count: Int, _ body: (UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws(FuzzFinding) {
        let room = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
        defer { room.deallocate() }
        try FuzzFinding.mustWork("an accepted tensor cannot be read") { try body(room) }
    }

    /// Applied to pieces of 64 numbers: no block changes more than its piece.
    static func difference(_ bytes: [UInt8]) throws {
        let difference = try WeightsDifference(bytes: bytes, path: "difference")
        let before = [UInt8](repeating: 0x3f, count: 128)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: before.count, alignment: 64)
        defer { room.deallocate() }
        try before.withUnsafeBytes { before in
            for index in 0..<difference.pieceCount {
                let piece = try difference.content(of: index, isCoded: true, before: before, room: room)
                try FuzzFinding.require(piece.count == before.count, "piece \(index) has \(piece.count) bytes")
            }
        }
    }

    static func config(_ bytes: [UInt8]) throws {
        let config = try HuggingFaceConfig.parse(bytes, file: "config.json")
        let elements = config.tensors.reduce(0) { $0 + $1.elementCount }
        try FuzzFinding.require(elements > 0, "an accepted config has no weights")
    }

    static func tokenizer(_ bytes: [UInt8]) throws {
        try use(
            Tokenizer.huggingFace(
                tokenizerJSON: bytes, configJSON: nil, chatTemplate: nil, generationConfigJSON: nil))
    }

    /// With a bound on its work that ends a run in milliseconds.
    static func template(_ bytes: [UInt8]) throws {
        guard let source = String(validating: bytes, as: UTF8.self) else { return }
        let messages = [
            ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "2 + 3 = ?"),
            ChatMessage(role: "assistant", content: "5"), ChatMessage(role: "user", content: "<|im_end|> {{ x }} é🪶"),
        ]
        _ = try ChatTemplate(source).render(
            messages, addGenerationPrompt: true, specials: [("bos_token", "<s>"), ("eos_token", "</s>")],
            date: CalendarDate(year: 2024, month: 7, day: 26), limits: ChatTemplate.Limits(work: 1 << 14))
    }

    /// Every id that encoding gives can be decoded, and the whole tokenizer travels.
    private static func use(_ tokenizer: Tokenizer) throws(FuzzFinding) {
        for text in ["", "Hello, world 123\n\n  é🪶 <s></s>", "\u{0}\u{FEFF}"] {
            let ids = tokenizer.encode(text, specials: true)
            try FuzzFinding.require(
                ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize }, "encoding gave an unknown id: \(ids)")
            _ = tokenizer.decode(ids, skipSpecials: false)
            var decoder = StreamingDecoder(tokenizer, skipSpecials: true)
            for id in ids { _ = decoder.append(id) }
        }
        let bytes = tokenizer.serialized()
        let again = try FuzzFinding.mustWork("an accepted tokenizer cannot travel to a worker") {
            try Tokenizer.deserialize(bytes)
        }
        try FuzzFinding.require(again.serialized() == bytes, "a tokenizer changes on the way to a worker")
    }
}
