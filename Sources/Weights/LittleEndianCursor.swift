// How is a binary header read without ever reading past its end?

/// Walks over bytes; every read is checked against what remains and names its subject when there is too little.
struct LittleEndianCursor {
    let bytes: UnsafeRawBufferPointer
    let file: String
    private(set) var offset = 0

    init(bytes: UnsafeRawBufferPointer, file: String) {
        self.bytes = bytes
        self.file = file
    }

    var remaining: Int { bytes.count - offset }

    mutating func integer<Value: FixedWidthInteger>(
        _ subject: @autoclosure () -> String, as type: Value.Type = Value.self
    ) throws(WeightsError) -> Value {
        let size = MemoryLayout<Value>.size
        guard remaining >= size else {
            throw WeightsError(
                file: file, subject: subject(), found: "the end of the file at byte \(bytes.count)",
                expected: "\(size) bytes at byte \(offset)")
        }
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)
        offset += size
        return Value(littleEndian: value)
    }

    /// A 64-bit count of things that each take at least `minimumBytes`, so that it cannot exceed what remains.
    mutating func count(
        minimumBytes: Int, _ subject: @autoclosure () -> String
    ) throws(WeightsError) -> Int {
        let count = try integer(subject(), as: UInt64.self)
        guard count <= UInt64(remaining / minimumBytes) else {
            throw WeightsError(
                file: file, subject: subject(), found: "\(count)",
                expected: "at most \(remaining / minimumBytes), for \(remaining) bytes remain")
        }
        return Int(count)
    }

    /// A 64-bit length and that many bytes of UTF-8.
    mutating func string(_ subject: @autoclosure () -> String) throws(WeightsError) -> String {
        let length = try count(minimumBytes: 1, subject() + " length")
        let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw WeightsError(
                file: file, subject: subject(), found: "bytes that are not UTF-8 at byte \(offset)", expected: "UTF-8")
        }
        offset += length
        return text
    }
}
