// How does a policy version lie on disk, and how is it proved when it is read?

import Rollouts

/// One safetensors file of all the config's tensors in order, their data without gaps: for float32, the parameter
/// buffer itself after a header. Named by its hash, as a `BlobStore` over the same folder expects.
package enum Snapshot {
    package struct Written: Equatable, Sendable {
        package let blob: BlobReference
        package let weightsHash: Digest
        package let path: String
    }

    /// - Parameter parameters: all tensors back to back in the config's order.
    package static func write(
        config: ModelConfig, parameters: UnsafeBufferPointer<Float>, format: FloatFormat = .float32,
        to directory: String
    ) throws(WeightsError) -> Written {
        precondition(
            parameters.count == config.elementCount,
            "\(parameters.count) parameters for a model of \(config.elementCount)")
        return try write(
            config: config, format: format, to: directory, values: TensorEncoder.backToBack(parameters))
    }

    /// The base policy, straight from a model file, holding one tensor in memory at a time.
    package static func write(
        source: ModelSource, format: FloatFormat = .float32, to directory: String
    ) throws(WeightsError) -> Written {
        let largest = source.config.tensors.map(\.elementCount).max() ?? 0
        let room = UnsafeMutableBufferPointer<Float>.allocate(capacity: largest)
        defer { room.deallocate() }
        return try write(config: source.config, format: format, to: directory) { tensor throws(WeightsError) in
            let part = UnsafeMutableBufferPointer(rebasing: room[..<tensor.elementCount])
            try source.read(tensor, into: part)
            return UnsafeBufferPointer(part)
        }
    }

    /// Fills `parameters` from a snapshot after checking its header against the config and its hash.
    /// - Parameter expected: refused when the weights' hash is another; nil takes any.
    /// - Returns: the weights' hash. `parameters` is untouched when this throws.
    @discardableResult
    package static func read(
        file path: String, config: ModelConfig, expecting expected: Digest?,
        into parameters: UnsafeMutableBufferPointer<Float>, parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) -> Digest {
        precondition(
            parameters.count == config.elementCount,
            "room for \(parameters.count) parameters of a model of \(config.elementCount)")
        let file = try SafetensorsFile(path)
        let tensors = config.tensors
        let format = try check(file, holds: tensors)
        let data = file.dataBytes
        let hash = WeightsHash.compute(tensors: tensors, format: format, bytes: data, parallel: parallel)
        try check(hash, expecting: expected, file: path)
        withExtendedLifetime(file) { format.elementType.decode(data, into: parameters) }
        return hash
    }

    /// - Parameter expected: nil takes any.
    static func check(_ hash: Digest, expecting expected: Digest?, file: String) throws(WeightsError) {
        guard let expected, hash != expected else { return }
        throw WeightsError(
            file: file, subject: "weights hash", found: "\(hash)", expected: "\(expected)",
            advice: "the snapshot is damaged or another version's: fetch it again")
    }

    /// Refuses a file that does not hold exactly these tensors, in order and in one format.
    static func check(_ file: SafetensorsFile, holds tensors: [TensorShape]) throws(WeightsError) -> FloatFormat {
        guard file.tensors.count == tensors.count else {
            throw WeightsError(
                file: file.path, subject: "tensor count", found: "\(file.tensors.count)", expected: "\(tensors.count)")
        }
        let format = FloatFormat.allCases.first { $0.elementType == file.tensors.first?.type } ?? .float32
        for (found, tensor) in zip(file.tensors, tensors) {
            guard found.name == tensor.name, found.dimensions == tensor.dimensions, found.type == format.elementType
            else {
                throw WeightsError(
                    file: file.path, subject: "tensor \(quoted(found.name))",
                    found: "\(found.dtype) of shape \(found.dimensions)",
                    expected: "\(quoted(tensor.name)), \(format.elementType.rawValue) of shape \(tensor.dimensions)")
            }
        }
        return format
    }

    private static func write(
        config: ModelConfig, format: FloatFormat, to directory: String,
        values: (TensorShape) throws(WeightsError) -> UnsafeBufferPointer<Float>
    ) throws(WeightsError) -> Written {
        let tensors = config.tensors
        let writer = try SafetensorsWriter(in: directory, tensors: tensors, format: format, metadata: [])
        try TensorEncoder(format: format, tensors: tensors).encode(
            file: writer.file.path, values: values, append: writer.append)
        let (blob, digests) = writer.finish()
        let path = try writer.file.commit(as: "\(blob.digest)")
        return Written(
            blob: blob, weightsHash: WeightsHash.combine(tensors: tensors, format: format, digests: digests),
            path: path)
    }
}

/// Turns float32 tensors into the bytes of a format, one after another.
struct TensorEncoder {
    let format: FloatFormat
    let tensors: [TensorShape]

    /// Tensor after tensor of one list of numbers, to be asked for in order.
    static func backToBack(_ values: UnsafeBufferPointer<Float>) -> (TensorShape) -> UnsafeBufferPointer<Float> {
        var start = 0
        return { tensor in
            defer { start += tensor.elementCount }
            return UnsafeBufferPointer(rebasing: values[start..<start + tensor.elementCount])
        }
    }

    /// - Parameter file: named when a value does not fit the format.
    func encode(
        file: String, values: (TensorShape) throws(WeightsError) -> UnsafeBufferPointer<Float>,
        append: (UnsafeRawBufferPointer) throws(WeightsError) -> Void
    ) throws(WeightsError) {
        if format == .float32 {
            for tensor in tensors { try append(UnsafeRawBufferPointer(try values(tensor))) }
            return
        }
        let largest = tensors.map(\.elementCount).max() ?? 0
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: largest * format.bytesPerElement, alignment: 64)
        defer { room.deallocate() }
        for tensor in tensors {
            let part = UnsafeMutableRawBufferPointer(rebasing: room[..<(tensor.elementCount * format.bytesPerElement)])
            let overflowed = format.encode(try values(tensor), into: part)
            guard overflowed == 0 else {
                throw WeightsError(
                    file: file, subject: "tensor \(quoted(tensor.name))",
                    found: "\(overflowed) values beyond its range", expected: "values that fit \(format.rawValue)",
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
