// What is in a safetensors file? Source: the format's specification: a 64-bit length, a JSON header, the data.

/// A mapped safetensors file. Opening checks the header against the data byte for byte: every tensor's bytes follow the
/// one before, and together they are the file.
package final class SafetensorsFile: Sendable {
    package struct Tensor: Equatable, Sendable {
        package let name: String
        /// As the header has it.
        package let dtype: String
        /// Row-major, outermost first; empty for a single number.
        package let dimensions: [Int]
        /// From the start of the file.
        package let offset: Int
        package let byteCount: Int
        /// nil where the type is known but has no place in a model's weights.
        package var type: ElementType? { ElementType.ofSafetensors(dtype) }
    }

    static let headerLimit = 100_000_000

    package var path: String { mapping.path }
    /// In the order of the data.
    package let tensors: [Tensor]
    package let metadata: [String: String]
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
        var cursor = LittleEndianCursor(bytes: mapping.bytes, file: mapping.path)
        let length = try cursor.count(minimumBytes: 1, "header length")
        guard length <= SafetensorsFile.headerLimit else {
            throw WeightsError(
                file: mapping.path, subject: "header length", found: "\(length) bytes",
                expected: "at most \(SafetensorsFile.headerLimit)")
        }
        let text = UnsafeRawBufferPointer(rebasing: mapping.bytes[8..<8 + length])
        let header = SafetensorsHeader(file: mapping.path, dataStart: 8 + length, fileBytes: mapping.bytes.count)
        (tensors, metadata) = try header.parse(text)
    }

    package func bytes(of tensor: Tensor) -> UnsafeRawBufferPointer {
        bytes(from: tensor.offset, to: tensor.offset + tensor.byteCount)
    }

    func releasePages(of bytes: UnsafeRawBufferPointer) { mapping.releasePages(of: bytes) }

    func bytes(from start: Int, to end: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: mapping.bytes[start..<end])
    }

    /// The whole tensor as float32.
    /// - Precondition: `out.count` is the tensor's element count.
    package func read(_ tensor: Tensor, into out: UnsafeMutableBufferPointer<Float>) throws(WeightsError) {
        guard let type = tensor.type else {
            throw WeightsError(
                file: path, subject: "tensor \(quoted(tensor.name))", found: "type \(tensor.dtype)",
                expected: "F32, F16 or BF16")
        }
        withExtendedLifetime(self) { type.decode(bytes(of: tensor), into: out) }
    }
}

extension ElementType {
    static func ofSafetensors(_ dtype: String) -> ElementType? {
        switch dtype {
        case "F32": .float32
        case "F16": .float16
        case "BF16": .bfloat16
        default: nil
        }
    }
}
