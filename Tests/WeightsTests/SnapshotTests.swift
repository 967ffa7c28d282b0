// Are a version's bytes and hash what they must be, and is damage seen?

import Foundation
import Rollouts
import Testing

@testable import Weights

@Suite struct SnapshotTests {
    private let folder = ScratchFolder()

    private static let golden = ModelConfig(
        family: .llama, vocabularySize: 6, hiddenSize: 4, layerCount: 1, headCount: 2, keyValueHeadCount: 1,
        headDimension: 2, intermediateSize: 8, rmsEpsilon: 1e-5, rotaryBase: 10_000, contextTokens: 16,
        tiedEmbeddings: true)
    private static let goldenParameters = (0..<180).map { Float($0 % 7) * 0.25 - 0.5 }
    /// Computed from the definition with Python's hashlib.
    private static let goldenHash = "5bfe428ff9756c1281c4e48e87918c3669e886d5a80972bd72a82f710b686789"
    private static let goldenBrainFloatHash = "342e55232a42546544cbe8074f5e349a66149002908972fda16cab1ac045aeff"

    private func read(_ path: String, _ config: ModelConfig, expecting: Digest? = nil) throws -> ([Float], Digest) {
        var out = [Float](repeating: 99, count: config.elementCount)
        let hash = try out.withUnsafeMutableBufferPointer {
            try Snapshot.read(file: path, config: config, expecting: expecting, into: $0)
        }
        return (out, hash)
    }

    private func write(
        _ config: ModelConfig, _ values: [Float], _ format: FloatFormat = .float32, to folder: ScratchFolder
    ) throws -> Snapshot.Written {
        try values.withUnsafeBufferPointer {
            try Snapshot.write(config: config, parameters: $0, format: format, to: folder.path)
        }
    }

    @Test func `BLAKE2b-256 of abc`() {
        #expect(
            "\(Blake2b.hash(Array("abc".utf8)))" == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")
    }

    @Test func `the weights hash is the one defined, on one thread and on many`() {
        SnapshotTests.goldenParameters.withUnsafeBufferPointer { parameters in
            let many = WeightsHash.compute(config: SnapshotTests.golden, parameters: parameters)
            let one = WeightsHash.compute(config: SnapshotTests.golden, parameters: parameters) { count, body in
                for index in (0..<count).reversed() { body(index) }
            }
            #expect("\(many)" == SnapshotTests.goldenHash && one == many)
        }
    }

    @Test func `a snapshot is written, named by its bytes and read back`() throws {
        let written = try write(SnapshotTests.golden, SnapshotTests.goldenParameters, to: folder)
        #expect("\(written.weightsHash)" == SnapshotTests.goldenHash)
        #expect(folder.names == ["\(written.blob.digest)"])
        #expect(try written.blob == Blake2b.hash(file: written.path))
        let (values, hash) = try read(written.path, SnapshotTests.golden, expecting: written.weightsHash)
        #expect(values == SnapshotTests.goldenParameters && hash == written.weightsHash)
        let again = try write(SnapshotTests.golden, SnapshotTests.goldenParameters, to: folder)
        #expect(again == written && folder.names.count == 1)
    }

    @Test func `a bfloat16 snapshot has its own hash and half the data`() throws {
        let written = try write(SnapshotTests.golden, SnapshotTests.goldenParameters, .bfloat16, to: folder)
        #expect("\(written.weightsHash)" == SnapshotTests.goldenBrainFloatHash)
        #expect(
            try read(written.path, SnapshotTests.golden, expecting: written.weightsHash).0
                == SnapshotTests.goldenParameters)
    }

    @Test func `values beyond float16 are refused, not made infinite`() throws {
        var values = SnapshotTests.goldenParameters
        values[3] = 70_000
        let error = #expect(throws: WeightsError.self) {
            try write(SnapshotTests.golden, values, .float16, to: folder)
        }
        #expect(error?.subject == "tensor `model.embed_tokens.weight`" && error?.found.hasPrefix("1 values") == true)
        #expect(folder.names.isEmpty)
    }

    @Test func `a source's snapshot is the same as that of its parameters`() throws {
        let config = ModelConfig.tiny(.llama)
        let source = try ModelSource.open(folder.write("model/m.gguf", GGUFBytes.model(config).bytes))
        let other = ScratchFolder(in: folder)
        let fromSource = try Snapshot.write(source: source, to: other.path)
        let fromValues = try write(config, config.sampleParameters, to: other)
        #expect(fromSource == fromValues)
    }

    @Test func `damage and other models are refused and the buffer stays`() throws {
        let config = ModelConfig.tiny(.llama)
        let written = try write(config, config.sampleParameters, to: folder)
        var bytes = folder.contents("\(written.blob.digest)")
        bytes[bytes.count - 5] ^= 1
        let damaged = folder.write("damaged", bytes)
        var out = [Float](repeating: 99, count: config.elementCount)
        let error = #expect(throws: WeightsError.self) {
            try out.withUnsafeMutableBufferPointer {
                try Snapshot.read(file: damaged, config: config, expecting: written.weightsHash, into: $0)
            }
        }
        #expect(error?.subject == "weights hash" && error?.expected == "\(written.weightsHash)")
        #expect(out.allSatisfy { $0 == 99 })
        #expect(throws: WeightsError.self) { try read(written.path, .tiny(.qwen2)) }
        var wider = config
        wider.intermediateSize = 16
        #expect(throws: WeightsError.self) { try read(written.path, wider) }
    }

    @Test func `two threads may write and read different snapshots at once`() throws {
        let config = ModelConfig.tiny(.qwen3)
        let path = folder.path
        DispatchQueue.concurrentPerform(iterations: 8) { index in
            let values = config.sampleParameters.map { $0 + Float(index % 4) }
            do {
                let written = try values.withUnsafeBufferPointer {
                    try Snapshot.write(config: config, parameters: $0, to: path)
                }
                var out = [Float](repeating: 0, count: values.count)
                try out.withUnsafeMutableBufferPointer {
                    _ = try Snapshot.read(file: written.path, config: config, expecting: written.weightsHash, into: $0)
                }
                #expect(out == values)
            } catch { Issue.record(error) }
        }
        #expect(folder.names.count == 4)
    }

    @Test func `optimizer state is written and read back, and damage is refused`() throws {
        let config = ModelConfig.tiny(.qwen2)
        let first = config.sampleParameters
        let second = first.map { $0 * $0 }
        let (blob, path) = try first.withUnsafeBufferPointer { a in
            try second.withUnsafeBufferPointer { b in
                try OptimizerSnapshot.write(
                    config: config, firstMoment: a, secondMoment: b, updateCount: 17, to: folder.path)
            }
        }
        #expect(path.hasSuffix("\(blob.digest)"))
        func read(_ path: String, _ config: ModelConfig, _ blob: BlobReference?) throws -> (Int, [Float], [Float]) {
            var a = [Float](repeating: 0, count: config.elementCount)
            var b = a
            let count = try a.withUnsafeMutableBufferPointer { a in
                try b.withUnsafeMutableBufferPointer { b in
                    try OptimizerSnapshot.read(
                        file: path, config: config, expecting: blob, firstMoment: a, secondMoment: b)
                }
            }
            return (count, a, b)
        }
        let (count, a, b) = try read(path, config, blob)
        #expect(count == 17 && a == first && b == second)
        var bytes = folder.contents("\(blob.digest)")
        bytes[bytes.count - 1] ^= 0x40
        let damaged = folder.write("damaged", bytes)
        let error = #expect(throws: WeightsError.self) { try read(damaged, config, blob) }
        #expect(error?.subject == "BLAKE2b-256")
        #expect(throws: WeightsError.self) { try read(path, .tiny(.llama), nil) }
        let weights = try write(config, first, to: folder)
        #expect(throws: WeightsError.self) { try read(weights.path, config, nil) }
    }
}
