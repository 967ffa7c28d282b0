// What does a JSON text say, read strictly? RFC 8259; duplicate keys, lone surrogates and deep nesting are refused.

import Foundation

enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// As written, which keeps large integers exact.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    static func integer(_ value: Int) -> JSONValue { .number(String(value)) }
    /// - Precondition: finite.
    static func double(_ value: Double) -> JSONValue {
        precondition(value.isFinite, "JSON has no \(value)")
        return .number("\(value)")
    }

    var string: String? { if case .string(let value) = self { value } else { nil } }
    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    var object: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }
    var double: Double? { if case .number(let text) = self { Double(text) } else { nil } }
    var integer: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
    }

    var kind: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let text): "the number \(text)"
        case .string(let text): "the text \(quoted(text))"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

/// Writing, with sorted keys.
extension JSONValue {
    func serialized(indentation: Int = 0) -> String {
        let inner = String(repeating: "  ", count: indentation + 1)
        let outer = String(repeating: "  ", count: indentation)
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .number(let text): return text
        case .string(let text): return JSONValue.quote(text)
        case .array(let values):
            guard !values.isEmpty else { return "[]" }
            return "[\n" + values.map { inner + $0.serialized(indentation: indentation + 1) }.joined(separator: ",\n")
                + "\n\(outer)]"
        case .object(let members):
            guard !members.isEmpty else { return "{}" }
            let lines = members.sorted { $0.key < $1.key }.map { key, value in
                "\(inner)\(JSONValue.quote(key)): \(value.serialized(indentation: indentation + 1))"
            }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(outer)}"
        }
    }

    static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case _ where scalar.value < 32:
                out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
