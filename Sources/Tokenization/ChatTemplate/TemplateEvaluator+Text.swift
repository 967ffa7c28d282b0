// How is a value written out? As Python prints it, and as JSON.

extension TemplateEvaluator {
    /// Python's `str`.
    mutating func printed(_ value: TemplateValue, _ line: Int) throws(TokenizationError) -> TemplateText {
        switch value {
        case .text(let text): return text
        case .undefined: return TemplateText()
        default:
            var output = TemplateText()
            try writePython(value, &output, line)
            return output
        }
    }

    private mutating func write(_ text: String, _ output: inout TemplateText, _ line: Int) throws(TokenizationError) {
        try charge(text.utf8.count, line)
        output.append(TemplateText(text))
    }

    /// Python's `repr`.
    private mutating func writePython(
        _ value: TemplateValue, _ output: inout TemplateText, _ line: Int
    ) throws(TokenizationError) {
        switch value {
        case .undefined: try write("Undefined", &output, line)
        case .none: try write("None", &output, line)
        case .bool(let value): try write(value ? "True" : "False", &output, line)
        case .integer(let value): try write(String(value), &output, line)
        case .float(let value): try write(TemplateEvaluator.pythonFloat(value), &output, line)
        case .text(let text):
            try charge(text.count, line)
            output.append(TemplateEvaluator.quoted(text))
        case .list(let list):
            try write(list.isTuple ? "(" : "[", &output, line)
            for (index, item) in list.items.enumerated() {
                if index > 0 { try write(", ", &output, line) }
                try writePython(item, &output, line)
            }
            if list.isTuple {
                try write(list.items.count == 1 ? ",)" : ")", &output, line)
            } else {
                try write("]", &output, line)
            }
        case .dictionary(let dictionary):
            try write("{", &output, line)
            for (index, key) in dictionary.keys.enumerated() {
                if index > 0 { try write(", ", &output, line) }
                try writePython(key, &output, line)
                try write(": ", &output, line)
                try writePython(dictionary.values[index], &output, line)
            }
            try write("}", &output, line)
        case .namespace, .macro, .loop, .function:
            throw .template(line: line, problem: "\(value.typeName) cannot be printed")
        }
    }

    private static func pythonFloat(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        return value.description
    }

    /// Python's quotes: double ones only around text with single ones and no double ones.
    private static func quoted(_ text: TemplateText) -> TemplateText {
        let isDouble = text.contains(TemplateText("'")) && !text.contains(TemplateText("\""))
        let quote: Unicode.Scalar = isDouble ? "\"" : "'"
        let body = text.mapped { scalar in
            switch scalar {
            case "\\": return "\\\\"
            case "\n": return "\\n"
            case "\r": return "\\r"
            case "\t": return "\\t"
            case quote: return "\\" + String(quote)
            default: return isPrintable(scalar) ? String(scalar) : escaped(scalar)
            }
        }
        let mark = TemplateText(String(quote))
        return mark + body + mark
    }

    /// Python's `str.isprintable`: nothing of the categories Other and Separator but the space.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        let (mark, width) = scalar.value < 0x100 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
        return mark + hexadecimal(scalar.value, width)
    }

    private static func hexadecimal(_ value: UInt32, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    // MARK: JSON

    struct JSONStyle {
        var indent: Int?
        var itemSeparator = ", "
        var keySeparator = ": "
        var sortsKeys = false
        var escapesNonASCII = false
    }

    /// `tojson` as transformers defines it: Python's `json.dumps` without HTML escapes.
    mutating func json(
        _ value: TemplateValue, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateText {
        var style = JSONStyle()
        style.escapesNonASCII = arguments[0, "ensure_ascii"]?.isTrue ?? false
        if let indent = arguments[1, "indent"]?.integerValue {
            guard (0...64).contains(indent) else {
                throw .template(line: line, problem: "`tojson` with indent \(indent)")
            }
            style.indent = indent
            style.itemSeparator = ","
        }
        if case .list(let separators)? = arguments[2, "separators"] {
            guard separators.items.count == 2 else {
                throw .template(line: line, problem: "`tojson` needs 2 separators")
            }
            style.itemSeparator = try printed(separators.items[0], line).string
            style.keySeparator = try printed(separators.items[1], line).string
        }
        style.sortsKeys = arguments[3, "sort_keys"]?.isTrue ?? false
        var output = TemplateText()
        try writeJSON(value, style, level: 0, &output, line)
        return output
    }

    private mutating func writeJSON(
        _ value: TemplateValue, _ style: JSONStyle, level: Int, _ output: inout TemplateText, _ line: Int
    ) throws(TokenizationError) {
        switch value {
        case .none: try write("null", &output, line)
        case .bool(let value): try write(value ? "true" : "false", &output, line)
        case .integer(let value): try write(String(value), &output, line)
        case .float(let value): try write(TemplateEvaluator.pythonFloat(value), &output, line)
        case .text(let text):
            try charge(text.count, line)
            output.append(TemplateEvaluator.jsonText(text, style))
        case .list(let list):
            try write("[", &output, line)
            for (index, item) in list.items.enumerated() {
                try writeBreak(index, style, level: level + 1, &output, line)
                try writeJSON(item, style, level: level + 1, &output, line)
            }
            if !list.items.isEmpty { try writeBreak(0, style, level: level, &output, line) }
            try write("]", &output, line)
        case .dictionary(let dictionary):
            var members: [(key: TemplateText, value: TemplateValue)] = []
            for (key, value) in zip(dictionary.keys, dictionary.values) {
                members.append((try jsonKey(key, line), value))
            }
            if style.sortsKeys { members.sort { $0.key < $1.key } }
            try write("{", &output, line)
            for (index, member) in members.enumerated() {
                try writeBreak(index, style, level: level + 1, &output, line)
                try charge(member.key.count, line)
                output.append(TemplateEvaluator.jsonText(member.key, style))
                try write(style.keySeparator, &output, line)
                try writeJSON(member.value, style, level: level + 1, &output, line)
            }
            if !members.isEmpty { try writeBreak(0, style, level: level, &output, line) }
            try write("}", &output, line)
        case .undefined, .namespace, .macro, .loop, .function:
            throw .template(line: line, problem: "`tojson` of \(value.typeName)")
        }
    }

    /// What stands before an item: a separator unless it is the first, then a line break and indentation if asked for.
    private mutating func writeBreak(
        _ index: Int, _ style: JSONStyle, level: Int, _ output: inout TemplateText, _ line: Int
    ) throws(TokenizationError) {
        if index > 0 { try write(style.itemSeparator, &output, line) }
        if let indent = style.indent { try write("\n" + String(repeating: " ", count: indent * level), &output, line) }
    }

    private mutating func jsonKey(_ key: TemplateValue, _ line: Int) throws(TokenizationError) -> TemplateText {
        switch key {
        case .text(let text): return text
        case .bool(let value): return TemplateText(value ? "true" : "false")
        case .none: return TemplateText("null")
        case .integer, .float: return try printed(key, line)
        default: throw .template(line: line, problem: "`tojson` of a mapping whose key is \(key.typeName)")
        }
    }

    private static func jsonText(_ text: TemplateText, _ style: JSONStyle) -> TemplateText {
        let body = text.mapped { scalar in
            switch scalar {
            case "\"": return "\\\""
            case "\\": return "\\\\"
            case "\n": return "\\n"
            case "\r": return "\\r"
            case "\t": return "\\t"
            case "\u{8}": return "\\b"
            case "\u{C}": return "\\f"
            default:
                if scalar.value < 0x20 { return "\\u" + hexadecimal(scalar.value, 4) }
                guard style.escapesNonASCII, scalar.value >= 0x7F else { return String(scalar) }
                return scalar.value == 0x7F
                    ? String(scalar) : UTF16.encode(scalar)!.map { "\\u" + hexadecimal(UInt32($0), 4) }.joined()
            }
        }
        return TemplateText("\"") + body + TemplateText("\"")
    }
}
