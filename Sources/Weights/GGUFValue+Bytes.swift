// How does a metadata value lie in a GGUF file?

extension GGUFValue {
    private static let nestingLimit = 4
    /// Most array elements in one file: memory for them is many times their size in the file.
    static let elementLimit = 1 << 24

    /// Reads a type code and a value of that type.
    /// - Parameter elementsLeft: how many array elements the rest of the file may have.
    static func read(
        _ cursor: inout LittleEndianCursor, key: String, elementsLeft: inout Int
    ) throws(WeightsError) -> GGUFValue {
        try read(readType(&cursor, key: key), &cursor, key: key, depth: 0, elementsLeft: &elementsLeft)
    }

    private static func readType(
        _ cursor: inout LittleEndianCursor, key: String
    ) throws(WeightsError) -> GGUFValueType {
        let code = try cursor.integer("metadata key \(quoted(key)) type", as: UInt32.self)
        guard let type = GGUFValueType(rawValue: code) else {
            throw WeightsError(
                file: cursor.file, subject: "metadata key \(quoted(key)) type", found: "\(code)", expected: "0 to 12")
        }
        return type
    }

    private static func read(
        _ type: GGUFValueType, _ cursor: inout LittleEndianCursor, key: String, depth: Int, elementsLeft: inout Int
    ) throws(WeightsError) -> GGUFValue {
        func subject() -> String { "metadata key \(quoted(key))" }
        switch type {
        case .uint8: return .uint8(try cursor.integer(subject()))
        case .int8: return .int8(try cursor.integer(subject()))
        case .uint16: return .uint16(try cursor.integer(subject()))
        case .int16: return .int16(try cursor.integer(subject()))
        case .uint32: return .uint32(try cursor.integer(subject()))
        case .int32: return .int32(try cursor.integer(subject()))
        case .uint64: return .uint64(try cursor.integer(subject()))
        case .int64: return .int64(try cursor.integer(subject()))
        case .float32: return .float32(Float(bitPattern: try cursor.integer(subject())))
        case .float64: return .float64(Double(bitPattern: try cursor.integer(subject())))
        case .string: return .string(try cursor.string(subject()))
        case .bool:
            let byte: UInt8 = try cursor.integer(subject())
            guard byte <= 1 else {
                throw WeightsError(file: cursor.file, subject: subject(), found: "\(byte)", expected: "0 or 1")
            }
            return .bool(byte == 1)
        case .array:
            guard depth < nestingLimit else {
                throw WeightsError(
                    file: cursor.file, subject: subject(), found: "deeper nesting",
                    expected: "arrays nested at most \(nestingLimit) deep")
            }
            let elementType = try readType(&cursor, key: key)
            let count = try cursor.count(minimumBytes: elementType.minimumBytes, subject() + " count")
            guard count <= elementsLeft else {
                throw WeightsError(
                    file: cursor.file, subject: subject() + " count", found: "\(count)",
                    expected: "at most \(elementLimit) array elements in the whole file")
            }
            elementsLeft -= count
            var values: [GGUFValue] = []
            values.reserveCapacity(count)
            for _ in 0..<count {
                values.append(
                    try read(elementType, &cursor, key: key, depth: depth + 1, elementsLeft: &elementsLeft))
            }
            return .array(elementType, values)
        }
    }

    /// Appends the value as a file holds it, without its type code.
    func append(to bytes: inout [UInt8]) {
        switch self {
        case .uint8(let value): bytes.append(value)
        case .int8(let value): bytes.append(UInt8(bitPattern: value))
        case .uint16(let value): bytes.append(littleEndian: value)
        case .int16(let value): bytes.append(littleEndian: value)
        case .uint32(let value): bytes.append(littleEndian: value)
        case .int32(let value): bytes.append(littleEndian: value)
        case .uint64(let value): bytes.append(littleEndian: value)
        case .int64(let value): bytes.append(littleEndian: value)
        case .float32(let value): bytes.append(littleEndian: value.bitPattern)
        case .float64(let value): bytes.append(littleEndian: value.bitPattern)
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .string(let value): bytes.append(counted: value)
        case .array(let type, let values):
            bytes.append(littleEndian: type.rawValue)
            bytes.append(littleEndian: UInt64(values.count))
            for value in values {
                precondition(value.type == type, "an array of \(type) holds a value of type \(value.type)")
                value.append(to: &bytes)
            }
        }
    }
}

extension [UInt8] {
    mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// A 64-bit length and the UTF-8 bytes.
    mutating func append(counted text: String) {
        append(littleEndian: UInt64(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}
