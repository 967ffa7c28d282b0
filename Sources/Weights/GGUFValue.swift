// What can a GGUF file's metadata say? Source: the GGUF specification, `gguf_metadata_value_t`.

package enum GGUFValueType: UInt32, Sendable, CaseIterable {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

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
