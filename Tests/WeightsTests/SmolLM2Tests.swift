// Are all 272 tensors of a real Q4_1 model read as two other implementations read them?

import Foundation
import Testing

@testable import Weights

@Suite struct SmolLM2Tests {
    private struct Row: Decodable {
        let name: String
        let shape: [Int]
        let sum: Double
        let abs_sum: Double
        let first: [Float]
        let last: [Float]
    }

    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("models/SmolLM2-135M-Instruct.Q4_1.gguf").path

    @Test(.enabled(if: access(path, R_OK) == 0, "models/SmolLM2-135M-Instruct.Q4_1.gguf is not there"))
    func `every tensor has the golden sums and first and last values`() throws {
        let source = try ModelSource.open(SmolLM2Tests.path)
        #expect(
            source.config
                == ModelConfig(
                    family: .llama, vocabularySize: 49_152, hiddenSize: 576, layerCount: 30, headCount: 9,
                    keyValueHeadCount: 3,
                    headDimension: 64, intermediateSize: 1536, rmsEpsilon: 1e-5, rotaryBase: 100_000,
                    contextTokens: 8192,
                    tiedEmbeddings: true))
        guard case .gguf(let keys) = source.tokenizer else { return #expect(Bool(false), "no tokenizer") }
        #expect(keys["tokenizer.ggml.tokens"]?.strings?.count == 49_152)
        var golden: [String: Row] = [:]
        for row in try fixtureLines("smollm2_tensors", as: Row.self) { golden[row.name] = row }
        #expect(golden.count == 272)
        for tensor in source.config.tensors {
            let row = try #require(golden[tensor.name])
            #expect(row.shape == tensor.dimensions)
            var values = [Float](repeating: 0, count: tensor.elementCount)
            try values.withUnsafeMutableBufferPointer { try source.read(tensor, into: $0) }
            #expect(Array(values.prefix(4)) == row.first && Array(values.suffix(2)) == row.last, "\(tensor.name)")
            let (sum, magnitude) = sums(values)
            #expect(abs(sum - row.sum) <= 1e-9 * row.abs_sum, "\(tensor.name): sum \(sum), expected \(row.sum)")
            #expect(abs(magnitude - row.abs_sum) <= 1e-9 * row.abs_sum, "\(tensor.name): \(magnitude)")
        }
    }

    private func sums(_ values: [Float]) -> (Double, Double) {
        values.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return (0, 0) }
            var (sum, magnitude) = (0.0, 0.0)
            var index = 0
            while index < buffer.count {
                let value = Double(start[index])
                sum += value
                magnitude += value < 0 ? -value : value
                index += 1
            }
            return (sum, magnitude)
        }
    }
}
