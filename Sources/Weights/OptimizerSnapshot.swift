// How does AdamW's state lie on disk?

import Rollouts

/// A piece of optimizer state: whose memory it is decides how long it may be used.
package struct StateTensor {
    package enum Element: String, Sendable {
        case float32 = "F32"
        case bfloat16 = "BF16"
        case byte = "U8"
        var byteCount: Int {
            switch self {
            case .float32: 4
            case .bfloat16: 2
            case .byte: 1
            }
        }
    }
    package var shape: TensorShape
    package var element: Element
    package var bytes: UnsafeMutableRawBufferPointer

    /// - Precondition: `bytes` holds exactly the elements of `shape`.
    package init(_ shape: TensorShape, _ element: Element, _ bytes: UnsafeMutableRawBufferPointer) {
        precondition(
            bytes.count == shape.elementCount * element.byteCount,
            "\(shape.name): \(bytes.count) bytes for \(shape.elementCount) elements of \(element.rawValue)")
        self.shape = shape
        self.element = element
        self.bytes = bytes
    }
}

/// One safetensors file: the tensors of the state, and in its metadata their kind and the number of updates.
package enum OptimizerSnapshot {
    private static let updatesKey = "update_count"
    private static let kindKey = "state"

    /// - Parameters:
    ///   - kind: refused when it is read as another one.
    ///   - updateCount: optimizer updates made so far.
    package static func write(
        _ tensors: [StateTensor], kind: OptimizerOptions.State, updateCount: Int, to directory: String
    ) throws(WeightsError) -> (blob: BlobReference, path: String) {
        precondition(updateCount >= 0, "\(updateCount) updates")
        let entries = tensors.map {
            SafetensorsWriter.Entry(shape: $0.shape, dtype: $0.element.rawValue, byteCount: $0.bytes.count)
        }
        let writer = try SafetensorsWriter(
            in: directory, entries: entries, metadata: [(kindKey, kind.rawValue), (updatesKey, String(updateCount))])
        for tensor in tensors { try writer.append(UnsafeRawBufferPointer(tensor.bytes)) }
        let (blob, _) = writer.finish()
        return (blob, try writer.file.commit(as: "\(blob.digest)"))
    }

    /// Fills the tensors after checking the header against them and the bytes against `reference`.
    /// - Parameter reference: what the file must be; nil takes any that fits.
    /// - Returns: the number of updates. The tensors are untouched when this throws.
    package static func read(
        file path: String, expecting reference: BlobReference?, kind: OptimizerOptions.State,
        into tensors: [StateTensor]
    ) throws(WeightsError) -> Int {
        if let reference { try reference.check(TreeHash.hash(file: path), file: path) }
        let file = try SafetensorsFile(path)
        // Files that do not say are older than the choice.
        let stored = file.metadata[kindKey] ?? OptimizerOptions.State.float32.rawValue
        guard stored == kind.rawValue else {
            throw WeightsError(
                file: path, subject: "kind of optimizer state", found: quoted(stored), expected: quoted(kind.rawValue),
                advice: "set `optimizer.state` to what the run was started with")
        }
        try check(file, holds: tensors)
        guard let text = file.metadata[updatesKey], let updates = Int(text), updates >= 0 else {
            throw WeightsError(
                file: path, subject: "metadata key `\(updatesKey)`",
                found: file.metadata[updatesKey].map { quoted($0) } ?? "none", expected: "an integer from 0")
        }
        withExtendedLifetime(file) {
            for (stored, tensor) in zip(file.tensors, tensors) { tensor.bytes.copyMemory(from: file.bytes(of: stored)) }
        }
        return updates
    }

    private static func check(_ file: SafetensorsFile, holds tensors: [StateTensor]) throws(WeightsError) {
        guard file.tensors.count == tensors.count else {
            throw WeightsError(
                file: file.path, subject: "tensor count", found: "\(file.tensors.count)", expected: "\(tensors.count)")
        }
        for (found, tensor) in zip(file.tensors, tensors) {
            let shape = tensor.shape
            guard found.name == shape.name, found.dimensions == shape.dimensions,
                found.dtype == tensor.element.rawValue
            else {
                throw WeightsError(
                    file: file.path, subject: "tensor \(quoted(found.name))",
                    found: "\(found.dtype) of shape \(found.dimensions)",
                    expected: "\(quoted(shape.name)), \(tensor.element.rawValue) of shape \(shape.dimensions)")
            }
        }
    }
}

extension BlobReference {
    /// Refuses bytes that are not this blob's.
    func check(_ found: BlobReference, file: String) throws(WeightsError) {
        guard found.byteCount == byteCount else {
            throw WeightsError(
                file: file, subject: "size", found: "\(found.byteCount) bytes", expected: "\(byteCount) bytes",
                advice: "the file is cut short or another one: fetch or restore it again")
        }
        guard found.digest == digest else {
            throw WeightsError(
                file: file, subject: "hash", found: "\(found.digest)", expected: "\(digest)",
                advice: "the file is damaged: fetch or restore it again")
        }
    }
}
