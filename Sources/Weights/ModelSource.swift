// How is a model opened, whatever format it came in?

/// A model on disk: its shape, its tokenizer's data, and its tensors as float32 under Hugging Face names and row order.
package final class ModelSource: Sendable {
    package enum TokenizerData: Sendable {
        /// All metadata whose keys start with `tokenizer.`.
        case gguf([String: GGUFValue])
        /// The files' bytes. `chatTemplate`: chat_template.jinja, which newer folders have apart.
        case huggingFace(
            tokenizerJSON: [UInt8], tokenizerConfigJSON: [UInt8]?, chatTemplate: String?,
            generationConfigJSON: [UInt8]?)
        case none
    }

    private enum Storage: Sendable {
        case gguf(GGUFModel)
        case huggingFace(HuggingFaceFolder)
    }

    private static let documentLimit = 256 << 20

    package let path: String
    package let config: ModelConfig
    package let tokenizer: TokenizerData
    private let storage: Storage

    private init(path: String, config: ModelConfig, tokenizer: TokenizerData, storage: Storage) {
        self.path = path
        self.config = config
        self.tokenizer = tokenizer
        self.storage = storage
    }

    /// A GGUF file or a Hugging Face folder; told apart by what is there, not by name. Every tensor the model needs is
    /// there and has its shape when this returns.
    package static func open(_ path: String) throws(WeightsError) -> ModelSource {
        if Disk.isDirectory(path) {
            let folder = try HuggingFaceFolder(path)
            return try ModelSource(
                path: path, config: folder.config, tokenizer: tokenizer(folder: path), storage: .huggingFace(folder))
        }
        let mapping = try MappedFile(path)
        guard mapping.bytes.starts(with: GGUFFile.magic) else { throw notAModel(mapping) }
        let model = try GGUFModel(GGUFFile(mapping))
        let keys = model.file.metadata.filter { $0.key.hasPrefix("tokenizer.") }
        return ModelSource(
            path: path, config: model.config, tokenizer: keys.isEmpty ? .none : .gguf(keys), storage: .gguf(model))
    }

    /// - Parameters:
    ///   - tensor: one of `config.tensors`.
    ///   - out: room for exactly its elements.
    package func read(
        _ tensor: TensorShape, into out: UnsafeMutableBufferPointer<Float>
    ) throws(WeightsError) {
        precondition(
            out.count == tensor.elementCount,
            "\(tensor.name): room for \(out.count) of \(tensor.elementCount) elements")
        switch storage {
        case .gguf(let model): model.read(tensor, into: out)
        case .huggingFace(let folder): try folder.read(tensor, into: out)
        }
    }

    /// All tensors back to back in the config's order.
    package func readAll(into out: UnsafeMutableBufferPointer<Float>) throws(WeightsError) {
        precondition(out.count == config.elementCount, "room for \(out.count) of \(config.elementCount) parameters")
        var start = 0
        for tensor in config.tensors {
            let end = start + tensor.elementCount
            try read(tensor, into: UnsafeMutableBufferPointer(rebasing: out[start..<end]))
            start = end
        }
    }

    private static func notAModel(_ mapping: MappedFile) -> WeightsError {
        let first = mapping.bytes.prefix(9)
        let found: String
        let advice: String?
        if first.starts(with: [0x50, 0x4b, 3, 4]) || first.first == 0x80 {
            found = "a zip archive or pickle"
            advice = "pickles can run code and are never read: convert the model to safetensors"
        } else if first.count == 9, first[8] == UInt8(ascii: "{") {
            found = "a safetensors file"
            advice = "name the folder that holds it and its config.json"
        } else {
            found = "other bytes"
            advice = nil
        }
        return WeightsError(
            file: mapping.path, subject: "model", found: found, expected: "a GGUF file or a Hugging Face folder",
            advice: advice)
    }

    private static func tokenizer(folder: String) throws(WeightsError) -> TokenizerData {
        func contents(_ name: String) throws(WeightsError) -> [UInt8]? {
            try MappedFile.contents(folder + "/" + name, limit: documentLimit)
        }
        guard let tokenizerJSON = try contents("tokenizer.json") else { return .none }
        var template: String?
        if let bytes = try contents("chat_template.jinja") {
            template = String(validating: bytes, as: UTF8.self)
            guard template != nil else {
                throw WeightsError(
                    file: folder + "/chat_template.jinja", subject: "text", found: "other bytes", expected: "UTF-8")
            }
        }
        return .huggingFace(
            tokenizerJSON: tokenizerJSON, tokenizerConfigJSON: try contents("tokenizer_config.json"),
            chatTemplate: template, generationConfigJSON: try contents("generation_config.json"))
    }
}
