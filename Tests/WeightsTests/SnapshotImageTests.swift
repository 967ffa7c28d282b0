// Is a snapshot made in parts the file that one writer makes of the same numbers, with the same hashes?

import Rollouts
import Testing

@testable import Weights

@Suite struct SnapshotImageTests {
    private let folder = ScratchFolder()

    /// Sizes that put leaves, parts and float32 numbers at odd places: the file has several parts, tensors end within
    /// leaves, and two bytes of a number may lie before a part's border and two behind it.
    private static let shapes = [
        TensorShape("a", [1021, 1023]), TensorShape("b", [3]), TensorShape("c", [1, 1]), TensorShape("d", [32_768, 1]),
        TensorShape("e", [65_537]), TensorShape("f", [1399, 1001]), TensorShape("g", [1]), TensorShape("h", [777, 771]),
    ]

    private func bytes(_ path: String) throws -> [UInt8] { try MappedFile.contents(path, limit: 1 << 30) ?? [] }

    private static func number(_ index: Int) -> Float { Float((index &* 2_654_435_761) % 20_011) * 0.37 - 3000 }

    private func written(_ tensors: [StoredTensor], _ values: [Float]) throws -> (BlobReference, [Digest], [UInt8]) {
        let writer = try SafetensorsWriter(in: folder.path, tensors: tensors, metadata: [])
        try values.withUnsafeBufferPointer { values in
            try TensorEncoder(tensors: tensors).encode(
                file: writer.file.path, values: TensorEncoder.backToBack(values), append: writer.append)
        }
        let (blob, digests) = writer.finish()
        let path = try writer.file.commit(as: "one", durable: false)
        return (blob, digests, try bytes(path))
    }

    @Test(arguments: SnapshotFormat.allCases, [0, 1, 2]) func `the same bytes and hashes`(
        format: SnapshotFormat, leftOut: Int
    ) throws {
        let shapes = Array(Self.shapes.dropFirst(leftOut))
        let tensors = format.stored(shapes)
        let values = (0..<shapes.reduce(0) { $0 + $1.elementCount }).map(Self.number)
        let (blob, digests, bytes) = try written(tensors, values)
        for isReversed in [false, true] {
            let file = try TemporaryFile(in: folder.path, expectedBytes: bytes.count)
            let made = try values.withUnsafeBufferPointer { values in
                try SnapshotImage(tensors: tensors, values: values).write(to: file) { count, body in
                    if isReversed {
                        for index in (0..<count).reversed() { body(index) }
                    } else {
                        WeightsHash.concurrently(count, body)
                    }
                }
            }
            let path = try file.commit(as: "many", durable: false)
            #expect(made.blob == blob && made.digests == digests)
            #expect(try self.bytes(path) == bytes)
        }
    }

    @Test func `a number that does not fit is refused, and its tensor is named`() throws {
        let tensors = SnapshotFormat.bfloat16.stored(Self.shapes)
        var values = (0..<Self.shapes.reduce(0) { $0 + $1.elementCount }).map(Self.number)
        let place = Self.shapes[..<5].reduce(0) { $0 + $1.elementCount } + 700_000
        values[place] = .greatestFiniteMagnitude
        let file = try TemporaryFile(in: folder.path, expectedBytes: 0)
        let error = #expect(throws: WeightsError.self) {
            try values.withUnsafeBufferPointer { values in
                _ = try SnapshotImage(tensors: tensors, values: values).write(to: file)
            }
        }
        #expect(error?.description.contains("`f`") == true && error?.description.contains("1 values") == true)
    }
}
