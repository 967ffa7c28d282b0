// How is a safetensors file written without holding it in memory?

import Dispatch
import Rollouts

/// The header first, then each tensor's bytes in the header's order. The hash of the whole file and of each tensor are
/// taken beside the writing, on threads of their own.
final class SafetensorsWriter {
    /// The data starts at a multiple of this, so that a mapped file's numbers are aligned; the header ends in spaces.
    private static let alignment = 64

    let file: TemporaryFile
    private let fileHash = TreeHash()
    private let sizes: [Int]
    private var digests: [Digest] = []

    /// One tensor of the header.
    struct Entry {
        var shape: TensorShape
        /// As the header has it.
        var dtype: String
        var byteCount: Int
    }

    /// The file of these tensors before their data.
    static func header(_ tensors: [StoredTensor]) -> [UInt8] { header(tensors.map(Entry.init), metadata: []) }

    /// - Parameter metadata: in the order given.
    convenience init(
        in directory: String, tensors: [StoredTensor], metadata: [(String, String)]
    ) throws(WeightsError) {
        try self.init(in: directory, entries: tensors.map(Entry.init), metadata: metadata)
    }

    /// Tensors of any types.
    init(in directory: String, entries: [Entry], metadata: [(String, String)]) throws(WeightsError) {
        sizes = entries.map(\.byteCount)
        let header = SafetensorsWriter.header(entries, metadata: metadata)
        file = try TemporaryFile(in: directory, expectedBytes: header.count + sizes.reduce(0, +))
        fileHash.update(header)
        try file.write(header)
    }

    /// The next tensor's bytes.
    func append(_ bytes: UnsafeRawBufferPointer) throws(WeightsError) {
        precondition(
            digests.count < sizes.count && bytes.count == sizes[digests.count],
            "tensor \(digests.count): \(bytes.count) bytes do not fit the header")
        // Guard: each lane has its own object and its own result, read after all lanes have ended.
        nonisolated(unsafe) var outcome: Result<Void, WeightsError> = .success(())
        nonisolated(unsafe) var digest: Digest?
        nonisolated(unsafe) let (file, fileHash, bytes) = (file, fileHash, bytes)
        DispatchQueue.concurrentPerform(iterations: 3) { lane in
            switch lane {
            case 0: fileHash.update(bytes)
            case 1: digest = TreeHash.hash(bytes)
            default: outcome = Result { () throws(WeightsError) in try file.write(bytes) }
            }
        }
        try outcome.get()
        if let digest { digests.append(digest) }
    }

    /// - Returns: what the file is, and each tensor's hash in order. The file is still under its temporary name.
    func finish() -> (blob: BlobReference, digests: [Digest]) {
        precondition(digests.count == sizes.count, "\(digests.count) of \(sizes.count) tensors were written")
        return (BlobReference(digest: fileHash.finish(), byteCount: file.byteCount), digests)
    }

    static func header(_ entries: [Entry], metadata: [(String, String)]) -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.map { "\(JSONValue.quote($0)):\(JSONValue.quote($1))" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for entry in entries {
            let shape = entry.shape.dimensions.map(String.init).joined(separator: ",")
            members.append(
                "\(JSONValue.quote(entry.shape.name)):{\"dtype\":\"\(entry.dtype)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(offset + entry.byteCount)]}")
            offset += entry.byteCount
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        while (8 + text.count) % alignment != 0 { text.append(UInt8(ascii: " ")) }
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt64(text.count))
        return bytes + text
    }
}

extension SafetensorsWriter.Entry {
    init(_ tensor: StoredTensor) {
        self.init(shape: tensor.shape, dtype: tensor.format.elementType.rawValue, byteCount: tensor.byteCount)
    }
}
