// How does a policy version lie on disk, and how is it proved when it is read?

import Rollouts

/// One safetensors file of all the config's tensors in order, their data without gaps. Named by its hash, as a
/// `BlobStore` over the same folder expects.
package enum Snapshot {
    package struct Written: Equatable, Sendable {
        package let blob: BlobReference
        package let weightsHash: Digest
        package let path: String
    }

    /// - Parameters:
    ///   - parameters: all tensors back to back in the config's order.
    ///   - durable: whether the file must survive a loss of power; what only the next step needs must not.
    package static func write(
        config: ModelConfig, parameters: UnsafeBufferPointer<Float>, format: SnapshotFormat = .float32,
        durable: Bool = true, to directory: String
    ) throws(WeightsError) -> Written {
        precondition(
            parameters.count == config.elementCount,
            "\(parameters.count) parameters for a model of \(config.elementCount)")
        let tensors = format.stored(config.tensors)
        let image = SnapshotImage(tensors: tensors, values: parameters)
        let file = try TemporaryFile(in: directory, expectedBytes: image.byteCount)
        let (blob, digests) = try image.write(to: file)
        return try finish(file, blob, tensors, digests, durable: durable)
    }

    /// The base policy, straight from a model file, holding one tensor in memory at a time.
    package static func write(
        source: ModelSource, format: SnapshotFormat = .float32, to directory: String
    ) throws(WeightsError) -> Written {
        let largest = source.config.tensors.map(\.elementCount).max() ?? 0
        let room = UnsafeMutableBufferPointer<Float>.allocate(capacity: largest)
        defer { room.deallocate() }
        let tensors = format.stored(source.config.tensors)
        let writer = try SafetensorsWriter(in: directory, tensors: tensors, metadata: [])
        let values = { (tensor: TensorShape) throws(WeightsError) in
            let part = UnsafeMutableBufferPointer(rebasing: room[..<tensor.elementCount])
            try source.read(tensor, into: part)
            return UnsafeBufferPointer(part)
        }
        try TensorEncoder(tensors: tensors).encode(file: writer.file.path, values: values, append: writer.append)
        let (blob, digests) = writer.finish()
        return try finish(writer.file, blob, tensors, digests, durable: true)
    }

    /// Fills `parameters` from a snapshot after checking its header against the config and its hash.
    /// - Parameter expected: refused when the weights' hash is another; nil takes any.
    /// - Returns: the weights' hash. `parameters` is untouched when this throws.
    @discardableResult
    package static func read(
        file path: String, config: ModelConfig, expecting expected: Digest?,
        into parameters: UnsafeMutableBufferPointer<Float>, parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) -> Digest {
        let snapshot = try MappedSnapshot(file: path, config: config, expecting: expected, parallel: parallel)
        snapshot.decode(into: parameters)
        return snapshot.weightsHash
    }

    /// - Parameter expected: nil takes any.
    static func check(_ hash: Digest, expecting expected: Digest?, file: String) throws(WeightsError) {
        guard let expected, hash != expected else { return }
        throw WeightsError(
            file: file, subject: "weights hash", found: "\(hash)", expected: "\(expected)",
            advice: "the snapshot is damaged or another version's: fetch it again")
    }

    /// Refuses a file that does not hold exactly these tensors, in order and in one of the formats.
    static func check(_ file: SafetensorsFile, holds tensors: [TensorShape]) throws(WeightsError) -> SnapshotFormat {
        guard file.tensors.count == tensors.count else {
            throw WeightsError(
                file: file.path, subject: "tensor count", found: "\(file.tensors.count)", expected: "\(tensors.count)")
        }
        let format: SnapshotFormat = file.tensors.contains { $0.type == .bfloat16 } ? .bfloat16 : .float32
        for (found, tensor) in zip(file.tensors, format.stored(tensors)) {
            let (shape, type) = (tensor.shape, tensor.format.elementType)
            guard found.name == shape.name, found.dimensions == shape.dimensions, found.type == type else {
                throw WeightsError(
                    file: file.path, subject: "tensor \(quoted(found.name))",
                    found: "\(found.dtype) of shape \(found.dimensions)",
                    expected: "\(quoted(shape.name)), \(type.rawValue) of shape \(shape.dimensions)")
            }
        }
        return format
    }

    private static func finish(
        _ file: TemporaryFile, _ blob: BlobReference, _ tensors: [StoredTensor], _ digests: [Digest], durable: Bool
    ) throws(WeightsError) -> Written {
        let path = try file.commit(as: "\(blob.digest)", durable: durable)
        return Written(
            blob: blob, weightsHash: WeightsHash.combine(tensors: tensors, digests: digests), path: path)
    }
}

/// Turns float32 tensors into the bytes of their formats, one after another.
struct TensorEncoder {
    let tensors: [StoredTensor]

    /// Tensor after tensor of one list of numbers, to be asked for in order.
    static func backToBack(_ values: UnsafeBufferPointer<Float>) -> (TensorShape) -> UnsafeBufferPointer<Float> {
        var start = 0
        return { tensor in
            defer { start += tensor.elementCount }
            return UnsafeBufferPointer(rebasing: values[start..<start + tensor.elementCount])
        }
    }

    /// - Parameter file: named when a value does not fit its format.
    func encode(
        file: String, values: (TensorShape) throws(WeightsError) -> UnsafeBufferPointer<Float>,
        append: (UnsafeRawBufferPointer) throws(WeightsError) -> Void
    ) throws(WeightsError) {
        let largest = tensors.filter { $0.format != .float32 }.map(\.byteCount).max() ?? 0
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: largest, alignment: 64)
        defer { room.deallocate() }
        for tensor in tensors {
            let numbers = try values(tensor.shape)
            if tensor.format == .float32 {
                try append(UnsafeRawBufferPointer(numbers))
                continue
            }
            let part = UnsafeMutableRawBufferPointer(rebasing: room[..<tensor.byteCount])
            let overflowed = tensor.format.encode(numbers, into: part)
            guard overflowed == 0 else {
                throw WeightsError(
                    file: file, subject: "tensor \(quoted(tensor.shape.name))",
                    found: "\(overflowed) values beyond its range",
                    expected: "values that fit \(tensor.format.rawValue)",
                    advice: "write float32 or bfloat16 instead")
            }
            try append(UnsafeRawBufferPointer(part))
        }
    }
}

extension SafetensorsFile {
    /// All tensors' bytes; they lie back to back.
    var dataBytes: UnsafeRawBufferPointer {
        guard let first = tensors.first, let last = tensors.last else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return bytes(from: first.offset, to: last.offset + last.byteCount)
    }
}
