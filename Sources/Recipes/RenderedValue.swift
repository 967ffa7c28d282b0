// How is a resolved value written as YAML that reads back as the same value?

indirect enum RenderedValue {
    /// Already YAML: a number, `true`, `null`, a word or a quoted text.
    case inline(String)
    case section([(name: String, value: RenderedValue)])
    case list([RenderedValue])

    static let null = RenderedValue.inline("null")

    static func text(_ text: String) -> RenderedValue { .inline(quoted(text)) }

    /// Shortest digits that read back exactly, with the point that YAML 1.1 wants before an exponent.
    static func number(_ number: Double) -> RenderedValue {
        let digits = number.description
        guard let exponent = digits.firstIndex(of: "e"), !digits.contains(".") else { return .inline(digits) }
        return .inline(digits[..<exponent] + ".0" + digits[exponent...])
    }

    static func texts(_ texts: [String]) -> RenderedValue {
        .inline("[" + texts.map(quoted).joined(separator: ", ") + "]")
    }

    /// The text on one line, where it has one.
    var inline: String? {
        switch self {
        case .inline(let text): text
        case .list(let items) where items.isEmpty: "[]"
        case .section, .list: nil
        }
    }

    /// Lines without indentation.
    var lines: [String] {
        switch self {
        case .inline(let text): [text]
        case .section(let entries):
            entries.flatMap { name, value -> [String] in
                if let inline = value.inline { return ["\(name): \(inline)"] }
                return ["\(name):"] + value.lines.map { "  " + $0 }
            }
        case .list(let items):
            items.isEmpty
                ? ["[]"]
                : items.flatMap { item in
                    item.lines.enumerated().map { ($0.offset == 0 ? "- " : "  ") + $0.element }
                }
        }
    }

    /// A word stays as it is; everything that YAML could read as something else is double-quoted.
    static func quoted(_ text: String) -> String {
        let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        let isWord =
            text.utf8.first.map { isLetter($0) || $0 == UInt8(ascii: "/") } == true
            && text.utf8.allSatisfy { isLetter($0) || "0123456789./-".utf8.contains($0) }
            && !reserved.contains(text.lowercased())
        if isWord { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{2028}", "\u{2029}", "\u{feff}":
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || byte == UInt8(ascii: "_")
    }
}
