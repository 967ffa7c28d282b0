// What a command works on: a run's newest checkpoint, or a model on disk.

import Cluster
import Foundation
import Recipes
import Rollouts
import RunStore
import Tokenization
import Weights

/// "RUN|MODEL" of a command line, found.
package enum Subject {
    /// - Parameters:
    ///   - options: the run's resolved recipe.
    ///   - step: of the checkpoint.
    case run(RunDirectory, options: RunOptions, checkpoint: StoredCheckpoint)
    case model(path: String)

    /// A run of this name wins over a file of this name.
    package static func find(_ text: String, runs: String) throws(RuntimeError) -> Subject {
        let directory = RunDirectory(runs: runs, name: text)
        if !text.contains("/"), directory.exists {
            let options = try readOptions(directory)
            guard let checkpoint = try newestCheckpoint(directory) else {
                throw RuntimeError("the run `\(text)` has no checkpoint yet: wait for its first, or give a model")
            }
            return .run(directory, options: options, checkpoint: checkpoint)
        }
        guard FileManager.default.fileExists(atPath: text) else {
            throw RuntimeError("`\(text)` is neither a run in `\(runs)/` nor a model file or folder")
        }
        return .model(path: text)
    }

    /// The resolved recipe stored with a run.
    package static func readOptions(_ directory: RunDirectory) throws(RuntimeError) -> RunOptions {
        do {
            return try RecipeReader.load(path: directory.recipe, overrides: [])
        } catch {
            throw RuntimeError("\(error)")
        }
    }

    /// The newest checkpoint whose files are whole; damaged ones are named on standard error and passed over.
    package static func newestCheckpoint(_ directory: RunDirectory) throws(RuntimeError) -> StoredCheckpoint? {
        let found = try ModelPreparation.weights {
            try CheckpointStore(directory: directory.checkpoints).newestValid { Output.note("warning: \($0)") }
        }
        guard let found else { return nil }
        return try StoredCheckpoint(found)
    }

    /// The adapters of a run that trained some, and what PEFT calls the model they adapt; nil for whole weights.
    package func loadAdapters() throws(RuntimeError) -> LoadedAdapters? {
        guard case .run(_, let options, let checkpoint) = self else { return nil }
        let file = checkpoint.folder.weightsFile
        return try ModelPreparation.weights {
            guard let description = try AdapterSnapshot.describe(file: file) else { return nil }
            let bundle = try ModelBundle.decode(checkpoint.bundle)
            let layout = AdapterLayout(config: bundle.config, options: description.options)
            var values = [Float](repeating: 0, count: layout.elementCount)
            try values.withUnsafeMutableBufferPointer { room in
                _ = try AdapterSnapshot.read(
                    file: file, layout: layout, expecting: checkpoint.content.manifest.weightsHash, into: room)
            }
            return LoadedAdapters(layout: layout, values: values, baseModel: options.model.path)
        }
    }

    /// Opens the model: config, tokenizer, and all parameters as float32 in `ModelConfig.tensors` order.
    package func load() throws(RuntimeError) -> LoadedModel {
        switch self {
        case .model(let path):
            let (source, tokenizer) = try ModelPreparation.open(path)
            let loaded = LoadedModel(config: source.config, tokenizer: tokenizer)
            try ModelPreparation.weights { try source.readAll(into: loaded.values) }
            return loaded
        case .run(_, _, let checkpoint):
            let bundle: ModelBundle
            let tokenizer: Tokenizer
            do {
                bundle = try ModelBundle.decode(checkpoint.bundle)
                tokenizer = try Tokenizer.deserialize([UInt8](bundle.tokenizer))
            } catch {
                throw RuntimeError(
                    "the checkpoint `\(checkpoint.folder.folder)` holds no readable model bundle: \(error)")
            }
            let loaded = LoadedModel(config: bundle.config, tokenizer: tokenizer)
            _ = try ModelPreparation.weights {
                try Snapshot.readWhole(
                    file: checkpoint.folder.weightsFile, config: bundle.config,
                    expecting: checkpoint.content.manifest.weightsHash, into: loaded.values
                ) { description throws(WeightsError) in
                    try checkpoint.folder.base(description, config: bundle.config)
                }
            }
            return loaded
        }
    }
}

/// Adapters in memory, for export.
package struct LoadedAdapters {
    package let layout: AdapterLayout
    package let values: [Float]
    /// As the recipe has it; empty for a model that the run made itself.
    package let baseModel: String
}

/// A model in memory, for export and for serving.
package final class LoadedModel {
    package let config: ModelConfig
    package let tokenizer: Tokenizer
    /// Every tensor back to back in `ModelConfig.tensors` order.
    package let values: UnsafeMutableBufferPointer<Float>

    init(config: ModelConfig, tokenizer: Tokenizer) {
        self.config = config
        self.tokenizer = tokenizer
        values = .allocate(capacity: config.tensors.reduce(0) { $0 + $1.elementCount })
        values.initialize(repeating: 0)
    }

    deinit { values.deallocate() }
}
