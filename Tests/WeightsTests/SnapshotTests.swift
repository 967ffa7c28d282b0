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
    private static let goldenHash = "f6a5e82b22061e20f6dbd68a8b1d2530d824c1fb1e4c83a1c70c78af5716d8be"
    private static let goldenBrainFloatHash = "8a32bf5fb8919633f042b6fe123ebc70e61e8461f83211826336541b9676596a"

    private func read(_ path: String, _ config: ModelConfig, expecting: Digest? = nil) throws -> ([Float], Digest) {
        var out = [Float](repeating: 99, count: config.elementCount)
        let hash = try out.withUnsafeMutableBufferPointer {
            try Snapshot.read(file: path, config: config, expecting: expecting, into: $0)
        }
        return (out, hash)
    }

    private func write(
        _ config: ModelConfig, _ values: [Float], _ format: SnapshotFormat = .float32, to folder: ScratchFolder
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
        #expect(try written.blob == TreeHash.hash(file: written.path))
        let (values, hash) = try read(written.path, SnapshotTests.golden, expecting: written.weightsHash)
        #expect(values == SnapshotTests.goldenParameters && hash == written.weightsHash)
        let again = try write(SnapshotTests.golden, SnapshotTests.goldenParameters, to: folder)
        #expect(again == written && folder.names.count == 1)
    }

    @Test func `a bfloat16 snapshot has its own hash, rounded matrices and whole vectors`() throws {
        let values = SnapshotTests.goldenParameters
        let written = try write(SnapshotTests.golden, values, .bfloat16, to: folder)
        #expect("\(written.weightsHash)" == SnapshotTests.goldenBrainFloatHash)
        #expect(try read(written.path, SnapshotTests.golden, expecting: written.weightsHash).0 == values)
        // 1 + 2^-9 lies between two numbers of bfloat16, nearer to 1.
        let fine = values.map { _ in Float(1) + 1 / 512 }
        let path = try write(SnapshotTests.golden, fine, .bfloat16, to: folder).path
        let (found, _) = try read(path, SnapshotTests.golden)
        let vectors = SnapshotTests.golden.tensors.flatMap { tensor in
            [Bool](repeating: tensor.dimensions.count == 1, count: tensor.elementCount)
        }
        #expect(zip(found, vectors).allSatisfy { $0 == ($1 ? fine[0] : 1) })
    }

    @Test func `a mapped snapshot hands out pieces, again and again`() throws {
        let config = ModelConfig.tiny(.qwen2)
        let values = config.sampleParameters
        for format in SnapshotFormat.allCases {
            let written = try write(config, values, format, to: folder)
            let snapshot = try MappedSnapshot(file: written.path, config: config, expecting: written.weightsHash)
            let (whole, _) = try read(written.path, config)
            for _ in 0..<2 {
                var start = 0
                for tensor in config.tensors {
                    var piece = [Float](repeating: 9, count: tensor.elementCount - 1)
                    piece.withUnsafeMutableBufferPointer { snapshot.decode(from: start + 1, into: $0) }
                    #expect(piece == Array(whole[start + 1..<start + tensor.elementCount]))
                    start += tensor.elementCount
                }
            }
        }
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

    /// Memory for a state, and the state over it.
    private final class State {
        var memory: [UnsafeMutableRawBufferPointer] = []
        let tensors: [StateTensor]

        init(_ element: StateTensor.Element, _ shapes: [TensorShape], fill: UInt8) {
            let bytes = element == .float32 ? 4 : element == .bfloat16 ? 2 : 1
            var made: [StateTensor] = []
            for (index, shape) in shapes.enumerated() {
                let room = UnsafeMutableRawBufferPointer.allocate(byteCount: shape.elementCount * bytes, alignment: 4)
                for i in room.indices { room[i] = fill &+ UInt8(truncatingIfNeeded: i &* 7 &+ index) }
                memory.append(room)
                made.append(StateTensor(shape, element, room))
            }
            tensors = made
        }
        deinit { memory.forEach { $0.deallocate() } }
        var bytes: [[UInt8]] { tensors.map { Array($0.bytes) } }
    }

    private static let shapes = [TensorShape("first_moment.a", [3, 5]), TensorShape("second_moment.a", [3, 5])]

    @Test(arguments: [
        (OptimizerOptions.State.float32, StateTensor.Element.float32), (.bfloat16, .bfloat16), (.eightBit, .byte),
    ])
    func `optimizer state is written and read back, and damage is refused`(
        _ kind: OptimizerOptions.State, _ element: StateTensor.Element
    ) throws {
        let written = State(element, SnapshotTests.shapes, fill: 3)
        let (blob, path) = try OptimizerSnapshot.write(written.tensors, kind: kind, updateCount: 17, to: folder.path)
        #expect(path.hasSuffix("\(blob.digest)"))
        let found = State(element, SnapshotTests.shapes, fill: 90)
        #expect(try OptimizerSnapshot.read(file: path, expecting: blob, kind: kind, into: found.tensors) == 17)
        #expect(found.bytes == written.bytes)
        var bytes = folder.contents("\(blob.digest)")
        bytes[bytes.count - 1] ^= 0x40
        let damaged = folder.write("damaged", bytes)
        let untouched = State(element, SnapshotTests.shapes, fill: 90)
        let error = #expect(throws: WeightsError.self) {
            try OptimizerSnapshot.read(file: damaged, expecting: blob, kind: kind, into: untouched.tensors)
        }
        #expect(error?.subject == "hash")
        #expect(untouched.bytes == State(element, SnapshotTests.shapes, fill: 90).bytes)
        let other = State(element, [TensorShape("first_moment.a", [15]), SnapshotTests.shapes[1]], fill: 0)
        #expect(throws: WeightsError.self) {
            try OptimizerSnapshot.read(file: path, expecting: nil, kind: kind, into: other.tensors)
        }
        let config = ModelConfig.tiny(.llama)
        let weights = try write(config, config.sampleParameters, to: folder)
        #expect(throws: WeightsError.self) {
            try OptimizerSnapshot.read(file: weights.path, expecting: nil, kind: kind, into: found.tensors)
        }
    }

    @Test func `optimizer state of another kind is refused in one line that says which to set`() throws {
        let written = State(.bfloat16, SnapshotTests.shapes, fill: 3)
        let (_, path) = try OptimizerSnapshot.write(written.tensors, kind: .bfloat16, updateCount: 1, to: folder.path)
        let found = State(.float32, SnapshotTests.shapes, fill: 90)
        let error = #expect(throws: WeightsError.self) {
            try OptimizerSnapshot.read(file: path, expecting: nil, kind: .float32, into: found.tensors)
        }
        #expect(
            error?.description == "\(path): kind of optimizer state: expected `float32`, found `bfloat16`; "
                + "set `optimizer.state` to what the run was started with")
    }
}
