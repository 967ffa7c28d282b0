// What is in a GGUF file? Versions 2 and 3. Source: the GGUF specification.

/// A mapped GGUF file: metadata and where each tensor lies. Opening checks every count, length, dimension and offset,
/// so reading a tensor cannot fail.
package final class GGUFFile: Sendable {
    package struct Tensor: Equatable, Sendable {
        package let name: String
        /// Row-major, outermost first: the reverse of the order in the file.
        package let dimensions: [Int]
        package let type: ElementType
        /// From the start of the file.
        package let offset: Int
        package let byteCount: Int
        package var elementCount: Int { dimensions.reduce(1, *) }
    }

    package static let magic: [UInt8] = Array("GGUF".utf8)
    static let defaultAlignment = 32
    static let alignmentKey = "general.alignment"

    package var path: String { mapping.path }
    package let version: Int
    package let metadata: [String: GGUFValue]
    /// In the file's order.
    package let tensors: [Tensor]
    private let mapping: MappedFile

    package convenience init(_ path: String) throws(WeightsError) {
        try self.init(MappedFile(path))
    }

    /// - Parameter path: what errors call the bytes.
    package convenience init(bytes: [UInt8], path: String) throws(WeightsError) {
        try self.init(MappedFile(copying: bytes, path: path))
    }

    init(_ mapping: MappedFile) throws(WeightsError) {
        self.mapping = mapping
        let path = mapping.path
        var cursor = LittleEndianCursor(bytes: mapping.bytes, file: path)
        version = try GGUFFile.readVersion(&cursor)
        let tensorCount = try cursor.count(minimumBytes: GGUFTensorRecord.minimumBytes, "tensor count")
        let keyCount = try cursor.count(minimumBytes: 13, "metadata count")
        metadata = try GGUFFile.readMetadata(&cursor, count: keyCount)
        let alignment = try GGUFFile.alignment(metadata, file: path)
        var records: [GGUFTensorRecord] = []
        for index in 0..<tensorCount { records.append(try GGUFTensorRecord(&cursor, index: index)) }
        let (dataStart, overflow) = cursor.offset.roundedUp(to: alignment)
        guard !overflow, dataStart <= mapping.bytes.count || tensorCount == 0 else {
            throw WeightsError(
                file: path, subject: "tensor data", found: "a file of \(mapping.bytes.count) bytes",
                expected: "data at byte \(dataStart)", advice: "the file is cut short: fetch it again")
        }
        tensors = try GGUFTensorRecord.place(
            records, dataStart: dataStart, alignment: alignment, fileBytes: mapping.bytes.count, file: path)
    }

    /// A tensor's stored bytes.
    package func bytes(of tensor: Tensor) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: mapping.bytes[tensor.offset..<tensor.offset + tensor.byteCount])
    }

    /// The whole tensor as float32, in the file's own row order.
    /// - Precondition: `out.count` is the tensor's element count.
    package func read(_ tensor: Tensor, into out: UnsafeMutableBufferPointer<Float>) {
        withExtendedLifetime(self) { tensor.type.decode(bytes(of: tensor), into: out) }
    }

    private static func readVersion(_ cursor: inout LittleEndianCursor) throws(WeightsError) -> Int {
        let magic: UInt32 = try cursor.integer("magic")
        guard magic == 0x4655_4747 else {
            throw WeightsError(file: cursor.file, subject: "magic", found: "other bytes", expected: "GGUF")
        }
        let version: UInt32 = try cursor.integer("version")
        guard version == 2 || version == 3 else {
            let bigEndian = (1...3).contains(version.byteSwapped)
            throw WeightsError(
                file: cursor.file, subject: "version",
                found: bigEndian ? "a big-endian file of version \(version.byteSwapped)" : "\(version)",
                expected: "little-endian version 2 or 3")
        }
        return Int(version)
    }

    private static func readMetadata(
        _ cursor: inout LittleEndianCursor, count: Int
    ) throws(WeightsError) -> [String: GGUFValue] {
        var metadata: [String: GGUFValue] = [:]
        var elementsLeft = GGUFValue.elementLimit
        for index in 0..<count {
            let key = try cursor.string("metadata key \(index)")
            let value = try GGUFValue.read(&cursor, key: key, elementsLeft: &elementsLeft)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw WeightsError(
                    file: cursor.file, subject: "metadata key \(quoted(key))", found: "it twice", expected: "it once")
            }
        }
        return metadata
    }

    private static func alignment(_ metadata: [String: GGUFValue], file: String) throws(WeightsError) -> Int {
        guard let value = metadata[alignmentKey] else { return defaultAlignment }
        guard let alignment = value.integer, alignment >= 8, alignment <= 1 << 20, alignment.nonzeroBitCount == 1
        else {
            throw WeightsError(
                file: file, subject: "metadata key `\(alignmentKey)`",
                found: value.integer.map(String.init) ?? "no integer", expected: "a power of two from 8 to 1048576")
        }
        return alignment
    }
}

extension Int {
    /// The next multiple of `alignment`, and whether it overflowed.
    func roundedUp(to alignment: Int) -> (Int, Bool) {
        let (sum, overflow) = addingReportingOverflow(alignment - 1)
        return (overflow ? self : sum / alignment * alignment, overflow)
    }
}
