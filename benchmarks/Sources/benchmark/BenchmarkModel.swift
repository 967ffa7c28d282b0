// The model that is measured, and prompts for it.

import Engine
import Foundation
import Measurement
import Rollouts
import Weights

struct BenchmarkModel {
    let parameters: Parameters
    let threads: ThreadPool
    let arithmetic: Arithmetic

    init(path: String, threads count: Int, precision: Precision) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw BenchmarkError("there is no model `\(path)`: cluster/fetch-model brings SmolLM2")
        }
        let source = try ModelSource.open(path)
        parameters = Parameters(config: source.config)
        try source.readAll(into: parameters.all)
        threads = ThreadPool(threadCount: count)
        arithmetic = try Arithmetic(precision)
    }

    func transformer() -> TransformerModel {
        TransformerModel(parameters: parameters, threads: threads, arithmetic: arithmetic, copies: copies)
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
