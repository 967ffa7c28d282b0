// Is this text JSON, and what is its value? One pass over the bytes, never past their end.

import Foundation

struct JSONReader {
    private static let depthLimit = 64

    private let bytes: UnsafeRawBufferPointer
    private let file: String
    private let subject: String
    private var position = 0

    private init(bytes: UnsafeRawBufferPointer, file: String, subject: String) {
        self.bytes = bytes
        self.file = file
        self.subject = subject
    }

    /// - Parameter subject: names the text in errors, as in "header".
    static func read(
        _ bytes: UnsafeRawBufferPointer, file: String, subject: String
    ) throws(WeightsError) -> JSONValue {
        var reader = JSONReader(bytes: bytes, file: file, subject: subject)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.error("the end of the text") }
        return value
    }

    static func read(_ bytes: [UInt8], file: String, subject: String) throws(WeightsError) -> JSONValue {
        let result: Result<JSONValue, WeightsError> = bytes.withUnsafeBytes { raw in
            Result { () throws(WeightsError) in try read(raw, file: file, subject: subject) }
        }
        return try result.get()
    }

    private func error(_ expected: String, found: String? = nil, at offset: Int? = nil) -> WeightsError {
        let offset = offset ?? position
        let here = offset < bytes.count ? "byte \(bytes[offset])" : "the end"
        return WeightsError(
            file: file, subject: "\(subject) (JSON, byte \(offset))", found: found ?? here, expected: expected)
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(WeightsError) -> JSONValue {
        guard depth < JSONReader.depthLimit else { throw error("nesting of at most \(JSONReader.depthLimit)") }
        skipSpace()
        guard position < bytes.count else { throw error("a value") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ text: String, _ value: JSONValue) throws(WeightsError) -> JSONValue {
        let letters = Array(text.utf8)
        guard bytes.count - position >= letters.count,
            bytes[position..<position + letters.count].elementsEqual(letters)
        else { throw error(text) }
        position += letters.count
        return value
    }

    private mutating func object(depth: Int) throws(WeightsError) -> [String: JSONValue] {
        position += 1
        var members: [String: JSONValue] = [:]
        skipSpace()
        if take("}") { return members }
        while true {
            skipSpace()
            let start = position
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw error("a key in quotes") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw error("a colon after key \(quoted(key))") }
            let member = try value(depth: depth + 1)
            guard members.updateValue(member, forKey: key) == nil else {
                throw error("each key once", found: "key \(quoted(key)) twice", at: start)
            }
            skipSpace()
            if take("}") { return members }
            guard take(",") else { throw error("a comma or closing brace") }
        }
    }

    private mutating func array(depth: Int) throws(WeightsError) -> [JSONValue] {
        position += 1
        var values: [JSONValue] = []
        skipSpace()
        if take("]") { return values }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return values }
            guard take(",") else { throw error("a comma or closing bracket") }
        }
    }

    private mutating func digits() -> Int {
        let start = position
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
        return position - start
    }

    private mutating func number() throws(WeightsError) -> JSONValue {
        let start = position
        _ = take("-")
        if !take("0"), digits() == 0 { throw error("a value", at: start) }
        if take("."), digits() == 0 { throw error("a digit after the point") }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            if digits() == 0 { throw error("a digit in the exponent") }
        }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func string() throws(WeightsError) -> String {
        let start = position
        position += 1
        var text: [UInt8] = []
        while true {
            guard position < bytes.count else { throw error("a closing quote") }
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                guard let valid = String(validating: text, as: UTF8.self) else {
                    throw error("UTF-8", found: "other bytes", at: start)
                }
                return valid
            case UInt8(ascii: "\\"):
                position += 1
                text.append(contentsOf: String(try escape()).utf8)
            case 0..<0x20: throw error("no control characters in text")
            default:
                text.append(byte)
                position += 1
            }
        }
    }

    private mutating func escape() throws(WeightsError) -> Unicode.Scalar {
        guard position < bytes.count else { throw error("an escape") }
        let letter = bytes[position]
        position += 1
        switch letter {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let first = try hexadecimal()
            if let scalar = Unicode.Scalar(first) { return scalar }
            guard first < 0xdc00, take("\\"), take("u") else { throw error("a surrogate pair") }
            let second = try hexadecimal()
            guard (0xdc00..<0xe000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            else { throw error("a surrogate pair") }
            return scalar
        default: throw error("an escape", at: position - 1)
        }
    }

    private mutating func hexadecimal() throws(WeightsError) -> UInt32 {
        guard bytes.count - position >= 4,
            let text = String(validating: bytes[position..<position + 4], as: UTF8.self),
            text.allSatisfy(\.isHexDigit), text.utf8.count == 4, let value = UInt32(text, radix: 16)
        else { throw error("four hexadecimal digits") }
        position += 4
        return value
    }
}
