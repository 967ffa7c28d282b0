// What can a GGUF file's metadata say? Source: the GGUF specification, `gguf_metadata_value_t`.

package enum GGUFValueType: UInt32, Sendable, CaseIterable {
    case uint8 = 0, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Fewest bytes that one value takes in a file.
    var minimumBytes: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .string, .uint64, .int64, .float64: 8
        case .array: 12
        }
    }
}

package enum GGUFValue: Equatable, Sendable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    /// All elements have the one type, which an empty array has too.
    case array(GGUFValueType, [GGUFValue])
    case uint64(UInt64)
    case int64(Int64)
    case float64(Double)

    package static func strings(_ values: [String]) -> GGUFValue { .array(.string, values.map { .string($0) }) }
    package static func integers(_ values: [Int32]) -> GGUFValue { .array(.int32, values.map { .int32($0) }) }
    package static func floats(_ values: [Float]) -> GGUFValue { .array(.float32, values.map { .float32($0) }) }

    package var type: GGUFValueType {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .float32: .float32
        case .bool: .bool
        case .string: .string
        case .array: .array
        case .uint64: .uint64
        case .int64: .int64
        case .float64: .float64
        }
    }

    /// Any integer type whose value fits.
    package var integer: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(value)
        default: nil
        }
    }

    /// Either floating-point type, or an integer.
    package var double: Double? {
        switch self {
        case .float32(let value): Double(value)
        case .float64(let value): value
        default: integer.map(Double.init)
        }
    }

    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var elements: [GGUFValue]? { if case .array(_, let values) = self { values } else { nil } }
    /// An array of strings; nil for anything else.
    package var strings: [String]? { elements(.string) { $0.string } }
    /// An array of integers; nil for anything else.
    package var integers: [Int]? {
        guard case .array(_, let values) = self else { return nil }
        var list: [Int] = []
        list.reserveCapacity(values.count)
        for value in values {
            guard let integer = value.integer else { return nil }
            list.append(integer)
        }
        return list
    }
    /// An array of float32; nil for anything else.
    package var floats: [Float]? {
        elements(.float32) { if case .float32(let value) = $0 { value } else { nil } }
    }

    private func elements<Element>(_ type: GGUFValueType, _ extract: (GGUFValue) -> Element?) -> [Element]? {
        guard case .array(type, let values) = self else { return nil }
        let list = values.compactMap(extract)
        return list.count == values.count ? list : nil
    }
}

extension GGUFValue {
    private static let nestingLimit = 4

    /// Reads a type code and a value of that type.
    static func read(_ cursor: inout LittleEndianCursor, key: String) throws(WeightsError) -> GGUFValue {
        try read(readType(&cursor, key: key), &cursor, key: key, depth: 0)
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
        _ type: GGUFValueType, _ cursor: inout LittleEndianCursor, key: String, depth: Int
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
            var values: [GGUFValue] = []
            values.reserveCapacity(count)
            for _ in 0..<count { values.append(try read(elementType, &cursor, key: key, depth: depth + 1)) }
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
