// How are the JSON files beside a model read and written? Reading through Foundation; writing in a fixed order, so that
// equal tokenizers give equal bytes.
import Foundation

/// A JSON object being read, with the name of its file and its place there for error messages.
struct JSONObject {
    let source: String
    let path: String
    let fields: [String: Any]

    /// - Parameter bytes: a whole document whose outermost value is an object.
    init(_ bytes: [UInt8], source: String) throws(TokenizationError) {
        let value: Any
        do {
            value = try JSONSerialization.jsonObject(with: Data(bytes))
        } catch {
            throw .malformed(source: source, subject: "document", problem: "not JSON (\(bytes.count) bytes)")
        }
        guard let fields = value as? [String: Any] else {
            throw .malformed(source: source, subject: "document", problem: "expected an object at the top")
        }
        self.init(source: source, path: "", fields: fields)
    }

    private init(source: String, path: String, fields: [String: Any]) {
        self.source = source
        self.path = path
        self.fields = fields
    }

    func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// - Returns: nil for an absent key and for `null`.
    func value(_ key: String) -> Any? {
        guard let value = fields[key], !(value is NSNull) else { return nil }
        return value
    }

    func object(_ key: String) throws(TokenizationError) -> JSONObject? {
        guard let value = value(key) else { return nil }
        return try JSONObject(source: source, path: name(key), value: value)
    }

    private init(source: String, path: String, value: Any) throws(TokenizationError) {
        guard let fields = value as? [String: Any] else {
            throw .malformed(source: source, subject: "`\(path)`", problem: "expected an object")
        }
        self.init(source: source, path: path, fields: fields)
    }

    func list(_ key: String) throws(TokenizationError) -> [Any]? {
        guard let value = value(key) else { return nil }
        guard let list = value as? [Any] else { throw wrong(key, expected: "a list") }
        return list
    }

    func objects(_ key: String) throws(TokenizationError) -> [JSONObject] {
        var result: [JSONObject] = []
        for (index, value) in (try list(key) ?? []).enumerated() {
            result.append(try JSONObject(source: source, path: "\(name(key))[\(index)]", value: value))
        }
        return result
    }

    func string(_ key: String) throws(TokenizationError) -> String? {
        guard let value = value(key) else { return nil }
        guard let string = value as? String else { throw wrong(key, expected: "a string") }
        return string
    }

    func bool(_ key: String) throws(TokenizationError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let bool = value as? Bool else { throw wrong(key, expected: "true or false") }
        return bool
    }

    func integer(_ key: String) throws(TokenizationError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let integer = value as? Int else { throw wrong(key, expected: "a whole number") }
        return integer
    }

    func id(_ key: String) throws(TokenizationError) -> Int32? {
        guard let integer = try integer(key) else { return nil }
        guard let id = Int32(exactly: integer) else { throw wrong(key, expected: "a token id") }
        return id
    }

    /// A list of ids, or one id.
    func ids(_ key: String) throws(TokenizationError) -> [Int32] {
        guard let value = value(key) else { return [] }
        guard let list = value as? [Any] else { return try id(key).map { [$0] } ?? [] }
        var ids: [Int32] = []
        ids.reserveCapacity(list.count)
        for item in list {
            guard let integer = item as? Int, let id = Int32(exactly: integer) else {
                throw wrong(key, expected: "a list of token ids")
            }
            ids.append(id)
        }
        return ids
    }

    func wrong(_ key: String, expected: String) -> TokenizationError {
        .malformed(
            source: source, subject: "`\(name(key))`",
            problem: "expected \(expected), found \(value(key).map { "\($0)".shortened(60) } ?? "nothing")")
    }

    func refused(_ key: String, advice: String) -> TokenizationError {
        .unsupported(
            source: source, subject: "`\(name(key))`", found: value(key).map { "\($0)".shortened() } ?? "its absence",
            advice: advice)
    }
}

/// A JSON value being written; objects keep the order of their keys.
indirect enum JSON {
    case null
    case bool(Bool)
    case integer(Int)
    case text(String)
    case list([JSON])
    case object([(String, JSON)])
    /// A list of numbers, for the large ones.
    case integers([Int32])

    var bytes: [UInt8] {
        var output: [UInt8] = []
        write(to: &output)
        return output
    }

    private func write(to output: inout [UInt8]) {
        switch self {
        case .null: output += "null".utf8
        case .bool(let value): output += (value ? "true" : "false").utf8
        case .integer(let value): output += String(value).utf8
        case .text(let value): JSON.write(value, to: &output)
        case .list(let values):
            output.append(0x5B)
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(0x2C) }
                value.write(to: &output)
            }
            output.append(0x5D)
        case .integers(let values):
            output.append(0x5B)
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(0x2C) }
                output += String(value).utf8
            }
            output.append(0x5D)
        case .object(let members):
            output.append(0x7B)
            for (index, (key, value)) in members.enumerated() {
                if index > 0 { output.append(0x2C) }
                JSON.write(key, to: &output)
                output.append(0x3A)
                value.write(to: &output)
            }
            output.append(0x7D)
        }
    }

    private static func write(_ text: String, to output: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        output.append(0x22)
        for byte in text.utf8 {
            switch byte {
            case 0x22, 0x5C: output += [0x5C, byte]
            case 0x0A: output += [0x5C, 0x6E]
            case 0..<0x20: output += [0x5C, 0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: output.append(byte)
            }
        }
        output.append(0x22)
    }
}
