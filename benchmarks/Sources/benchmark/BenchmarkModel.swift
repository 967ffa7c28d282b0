// The model that is measured, and prompts for it.

import Engine
import Foundation
import Measurement
import Rollouts
import Tokenization
import Weights

/// Weights as a worker holds them.
struct BenchmarkModel {
    enum Work {
        case sampling, learning
    }

    let parameters: Parameters
    let threads: ThreadPool
    let arithmetic: Arithmetic
    private let work: Work
    /// What a sampler of exact arithmetic packs its weights from.
    private let snapshot: MappedSnapshot?

    init(path: String, threads count: Int, precision: Precision, for work: Work) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw BenchmarkError("there is no model `\(path)`: cluster/fetch-model brings SmolLM2")
        }
        let source = try ModelSource.open(path)
        threads = ThreadPool(threadCount: count)
        arithmetic = try Arithmetic(precision)
        self.work = work
        if work == .sampling, precision == .bfloat16 {
            snapshot = try Self.snapshot(of: source)
            parameters = Parameters(sampling: source.config)
            parameters.fill(from: snapshot!, threads: threads)
        } else {
            snapshot = nil
            parameters = Parameters(config: source.config)
            try source.readAll(into: parameters.all)
        }
    }

    /// What is mapped stays readable when its file is gone.
    private static func snapshot(of source: ModelSource) throws -> MappedSnapshot {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("benchmark-\(getpid())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it
        let written = try Snapshot.write(source: source, format: .bfloat16, to: folder)
        return try MappedSnapshot(file: written.path, config: source.config, expecting: written.weightsHash)
    }

    func transformer() -> TransformerModel {
        TransformerModel(
            parameters: parameters, threads: threads, arithmetic: arithmetic,
            copies: work == .learning ? .passing : .kept)
    }

    /// Does what a new version of the weights makes a sampler do, apart from checking its hash.
    func changeVersion() {
        if let snapshot {
            parameters.fill(from: snapshot, threads: threads)
        } else {
            parameters.changed()
        }
    }

    /// As a worker has it at its start; random ids need none, the start-up time does.
    static func tokenizer(of path: String) throws -> Tokenizer {
        switch try ModelSource.open(path).tokenizer {
        case .none: return Tokenizer.bytes()
        case .huggingFace(let json, let configJSON, let template, let generation):
            return try Tokenizer.huggingFace(
                tokenizerJSON: json, configJSON: configJSON, chatTemplate: template,
                generationConfigJSON: generation)
        case .gguf(let fields):
            func text(_ key: String) -> String? { fields["tokenizer." + key]?.string }
            func identifier(_ key: String) -> Int32? {
                fields["tokenizer.ggml." + key]?.integer.flatMap(Int32.init(exactly:))
            }
            return try Tokenizer.gguf(
                model: text("ggml.model") ?? "", pre: text("ggml.pre") ?? "default",
                tokens: fields["tokenizer.ggml.tokens"]?.strings ?? [],
                tokenTypes: (fields["tokenizer.ggml.token_type"]?.integers ?? []).compactMap(Int32.init(exactly:)),
                merges: fields["tokenizer.ggml.merges"]?.strings ?? [], bos: identifier("bos_token_id"),
                eos: identifier("eos_token_id"), unknown: identifier("unknown_token_id"),
                padding: identifier("padding_token_id"), addBOS: fields["tokenizer.ggml.add_bos_token"]?.bool,
                chatTemplate: text("chat_template"))
        }
    }

    /// Token ids without meaning, the same in every run: speed does not depend on what a text says.
    func tokens(_ count: Int, of number: Int) -> [Int32] {
        let bound = UInt64(min(parameters.config.vocabularySize, 40_000))
        return (0..<count).map {
            Int32(KeyedRandom.integer(below: bound, seed: 1, use: .generatedTask, UInt64(number), UInt64($0)))
        }
    }
}

extension ModelCost {
    init(_ config: ModelConfig) {
        self.init(
            layerCount: config.layerCount, hiddenSize: config.hiddenSize, headCount: config.headCount,
            keyValueHeadCount: config.keyValueHeadCount, headDimension: config.headDimension,
            intermediateSize: config.intermediateSize, vocabularySize: config.vocabularySize)
    }

    /// Of a model file, without reading its weights.
    init(path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw BenchmarkError("there is no model `\(path)`: cluster/fetch-model brings SmolLM2")
        }
        self.init(try ModelSource.open(path).config)
    }
}

extension Precision {
    /// Of one weight as the products read it.
    var weightBytes: Double { self == .bfloat16 ? 2 : 4 }
}
