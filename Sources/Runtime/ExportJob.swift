// `coordinator export`: a policy as files other programs load.

import Foundation
import Tokenization
import Weights

package struct ExportJob {
    var subject: String
    var format: String
    var elementType: String
    var merge: Bool
    var output: String?
    var runs: String

    /// - Parameter merge: of a run that trained adapters, the adapted model instead of the adapters.
    package init(subject: String, format: String, elementType: String, merge: Bool, output: String?, runs: String) {
        self.subject = subject
        self.format = format
        self.elementType = elementType
        self.merge = merge
        self.output = output
        self.runs = runs
    }

    package func run() throws -> Int32 {
        let formats = ["f32": FloatFormat.float32, "f16": .float16, "bf16": .bfloat16]
        guard let format = formats[elementType] else {
            throw RuntimeError("unknown element type `\(elementType)`: f32, f16 or bf16")
        }
        let found = try Subject.find(subject, runs: runs)
        let adapters = try found.loadAdapters()
        guard adapters != nil || !merge else {
            throw RuntimeError("`\(subject)` has no adapters to merge: leave --merge out")
        }
        guard adapters == nil || merge || self.format != "gguf" else {
            throw RuntimeError("the adapters of `\(subject)` are exported as safetensors; for GGUF give --merge too")
        }
        let model = try found.load()
        let parameters = UnsafeBufferPointer(model.values)
        let target = output ?? defaultOutput(found)
        func tokenizerFiles() throws -> [String: [UInt8]] {
            Dictionary(uniqueKeysWithValues: try model.tokenizer.huggingFaceFiles().map { ($0.name, $0.bytes) })
        }
        if let adapters, !merge {
            let files = try tokenizerFiles()
            try adapters.values.withUnsafeBufferPointer {
                try Export.adapters(
                    $0, layout: adapters.layout, baseModel: adapters.baseModel, format: format,
                    tokenizerFiles: files, to: target)
            }
            Output.line(
                "Wrote \(target)/ (adapters, \(elementType)); PEFT's from_pretrained loads it over "
                    + "`\(adapters.baseModel)`; --merge writes the adapted model instead.")
        } else if self.format == "gguf" {
            try Export.gguf(
                config: model.config, parameters: parameters, format: format, name: name(found),
                tokenizerMetadata: model.tokenizer.ggufFields.map { ($0.key, GGUFValue($0.value)) }, to: target)
            Output.line("Wrote \(target) (GGUF, \(elementType)); llama.cpp loads it.")
        } else {
            try Export.huggingFace(
                config: model.config, parameters: parameters, format: format,
                tokenizerFiles: try tokenizerFiles(),
                beginToken: model.tokenizer.bos.map(Int.init), endTokens: model.tokenizer.endTokens.map(Int.init),
                to: target)
            Output.line("Wrote \(target)/ (safetensors, \(elementType)); transformers' from_pretrained loads it.")
        }
        return 0
    }

    private func name(_ found: Subject) -> String {
        switch found {
        case .run(let directory, _, let checkpoint): "\(directory.name)-step-\(checkpoint.content.step)"
        case .model(let path): URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        }
    }

    private func defaultOutput(_ found: Subject) -> String {
        let suffix = format == "gguf" ? ".gguf" : ""
        return switch found {
        case .run(let directory, _, _): "\(directory.shown)/export\(suffix)"
        case .model: "\(name(found))-\(elementType)\(suffix)"
        }
    }
}

extension GGUFValue {
    /// A tokenizer's metadata in the file format's types.
    init(_ field: GGUFField) {
        switch field {
        case .string(let value): self = .string(value)
        case .uint32(let value): self = .uint32(value)
        case .bool(let value): self = .bool(value)
        case .strings(let values): self = .strings(values)
        case .int32s(let values): self = .integers(values)
        }
    }
}

extension Tokenizer {
    /// From a GGUF file's `tokenizer.*` metadata.
    init(ggufFields fields: [String: GGUFValue]) throws {
        func string(_ key: String) -> String? { fields[key]?.string }
        func identifier(_ key: String) -> Int32? {
            fields["tokenizer.ggml." + key]?.integer.flatMap(Int32.init(exactly:))
        }
        guard let tokens = fields["tokenizer.ggml.tokens"]?.strings else {
            throw RuntimeError("the GGUF file has no tokenizer.ggml.tokens")
        }
        let merges = fields["tokenizer.ggml.merges"]?.strings ?? []
        let types = fields["tokenizer.ggml.token_type"]?.integers?.compactMap(Int32.init(exactly:)) ?? []
        let addBOS = fields["tokenizer.ggml.add_bos_token"]?.bool
        self = try Tokenizer.gguf(
            model: string("tokenizer.ggml.model") ?? "", pre: string("tokenizer.ggml.pre") ?? "default", tokens: tokens,
            tokenTypes: types, merges: merges, bos: identifier("bos_token_id"), eos: identifier("eos_token_id"),
            unknown: identifier("unknown_token_id"), padding: identifier("padding_token_id"), addBOS: addBOS,
            chatTemplate: string("tokenizer.chat_template"))
    }
}
