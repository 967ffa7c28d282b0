// From a model on disk (or a random one) to what workers need: a bundle and the base policy as blobs.

import Foundation
import Rollouts
import Tokenization
import Weights

/// A model ready to be served to workers.
package struct PreparedModel: Sendable {
    package var config: ModelConfig
    package var tokenizer: Tokenizer
    package var bundle: BlobReference
    package var base: PolicyManifest
}

package enum ModelPreparation {
    /// A run's newest checkpoint, or a model on disk, as version 0.
    package static func prepare(_ subject: Subject, blobs: BlobStore) throws(RuntimeError) -> PreparedModel {
        switch subject {
        case .model(let path):
            var options = RunOptions()
            options.model.path = path
            return try prepare(options, blobs: blobs)
        case .run(_, _, let checkpoint):
            let loaded = try subject.load()
            try checkpoint.restore(into: blobs)
            let manifest = checkpoint.content.manifest
            return try finish(
                config: loaded.config, tokenizer: loaded.tokenizer, blobs: blobs, hash: manifest.weightsHash,
                weights: manifest.weights)
        }
    }

    /// Opens the recipe's model and writes bundle and base weights into the blob store.
    package static func prepare(_ options: RunOptions, blobs: BlobStore) throws(RuntimeError) -> PreparedModel {
        let format = SnapshotFormat(options.model.precision)
        if let shape = options.model.initialise {
            return try random(shape, seed: options.seed, format: format, blobs: blobs)
        }
        let source: ModelSource
        let tokenizer: Tokenizer
        (source, tokenizer) = try open(options.model.path)
        let written = try weights { try Snapshot.write(source: source, format: format, to: blobs.directory) }
        return try finish(
            config: source.config, tokenizer: tokenizer, blobs: blobs, hash: written.weightsHash,
            weights: written.blob)
    }

    /// Model file and its tokenizer.
    package static func open(_ path: String) throws(RuntimeError) -> (ModelSource, Tokenizer) {
        guard !path.isEmpty, FileManager.default.fileExists(atPath: path) else {
            throw RuntimeError(
                "the model `\(path)` does not exist: give model.path a GGUF file or a Hugging Face folder "
                    + "(`cluster/fetch-model` brings SmolLM2)")
        }
        let source = try weights { try ModelSource.open(path) }
        return (source, try tokenizer(of: source, path: path))
    }

    static func tokenizer(of source: ModelSource, path: String) throws(RuntimeError) -> Tokenizer {
        do {
            switch source.tokenizer {
            case .none:
                throw RuntimeError(
                    "the model `\(path)` has no tokenizer: a Hugging Face folder needs tokenizer.json "
                        + "next to config.json")
            case .huggingFace(let json, let configJSON, let template, let generation):
                return try Tokenizer.huggingFace(
                    tokenizerJSON: json, configJSON: configJSON, chatTemplate: template,
                    generationConfigJSON: generation)
            case .gguf(let fields):
                return try Tokenizer(ggufFields: fields)
            }
        } catch let error as RuntimeError {
            throw error
        } catch {
            throw RuntimeError("the tokenizer of `\(path)` cannot be used: \(error)")
        }
    }

    /// A byte-level Llama with random weights: N(0, 0.02), norms 1.
    private static func random(
        _ shape: ModelInitialisation, seed: UInt64, format: SnapshotFormat, blobs: BlobStore
    ) throws(RuntimeError) -> PreparedModel {
        let tokenizer = Tokenizer.bytes()
        let config = ModelConfig(
            family: .llama, vocabularySize: tokenizer.vocabularySize, hiddenSize: shape.hiddenSize,
            layerCount: shape.layers, headCount: shape.heads, keyValueHeadCount: shape.keyValueHeads,
            headDimension: shape.hiddenSize / shape.heads, intermediateSize: shape.intermediateSize, rmsEpsilon: 1e-5,
            rotaryBase: 10_000, contextTokens: shape.contextTokens, tiedEmbeddings: true)
        let count = config.tensors.reduce(0) { $0 + $1.elementCount }
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
        defer { values.deallocate() }
        RandomWeights.fill(values, config: config, seed: seed, standardDeviation: 0.02)
        let written = try weights {
            try Snapshot.write(
                config: config, parameters: UnsafeBufferPointer(values), format: format, to: blobs.directory)
        }
        return try finish(
            config: config, tokenizer: tokenizer, blobs: blobs, hash: written.weightsHash, weights: written.blob)
    }

    private static func finish(
        config: ModelConfig, tokenizer: Tokenizer, blobs: BlobStore, hash: Digest, weights reference: BlobReference
    ) throws(RuntimeError) -> PreparedModel {
        let bundle = ModelBundle(config: config, tokenizer: tokenizer.serialized()).encoded()
        let stored = try weights { try blobs.insert(bundle) }
        return PreparedModel(
            config: config, tokenizer: tokenizer, bundle: stored,
            base: PolicyManifest(version: .base, weightsHash: hash, weights: reference))
    }

    static func weights<Result>(_ body: () throws -> Result) throws(RuntimeError) -> Result {
        do {
            return try body()
        } catch {
            throw RuntimeError("\(error)")
        }
    }
}
