// What do filters (`value | name`) give?

extension TemplateEvaluator {
    mutating func filter(
        _ value: TemplateValue, _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        switch name {
        case "default", "d":
            let replacesFalse = arguments[1, "boolean"]?.isTrue ?? false
            if case .undefined = value {} else if value.isTrue || !replacesFalse { return value }
            return arguments[0, "default_value"] ?? .string("")
        case "tojson": return .text(try json(value, arguments, line))
        case "string", "safe": return .text(try printed(value, line))
        case "length", "count": return .integer(try length(value, line))
        case "int": return try wholeNumber(value, arguments, line)
        case "float":
            if case .text(let text) = value { return .float(Double(text.trimmed().string) ?? 0) }
            return .float(value.number ?? 0)
        case "abs":
            if let number = value.integerValue, number != .min { return .integer(abs(number)) }
            guard case .float(let number) = value else {
                throw .template(line: line, problem: "`abs` of \(value.typeName)")
            }
            return .float(abs(number))
        case "items": return try pairs(value, line)
        case "dictsort":
            guard case .dictionary(let dictionary) = value else {
                throw .template(line: line, problem: "`dictsort` of \(value.typeName)")
            }
            return try sorted(
                try items(of: try pairs(.dictionary(dictionary), line), line), Arguments(), byFirst: true, line)
        case "trim", "upper", "lower", "capitalize", "title", "replace", "indent":
            return .text(try textFilter(try printed(value, line), name, arguments, line))
        default: return try listFilter(value, name, arguments, line)
        }
    }

    func length(_ value: TemplateValue, _ line: Int) throws(TokenizationError) -> Int {
        switch value {
        case .text(let text): return text.count
        case .list(let list): return list.items.count
        case .dictionary(let dictionary): return dictionary.keys.count
        case .undefined: return 0
        default: throw .template(line: line, problem: "\(value.typeName) has no length")
        }
    }

    private mutating func wholeNumber(
        _ value: TemplateValue, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        if let number = value.integerValue { return .integer(number) }
        if case .float(let number) = value, let whole = Int(exactly: number.rounded(.towardZero)) {
            return .integer(whole)
        }
        if case .text(let text) = value {
            let trimmed = text.trimmed().string
            if let number = Int(trimmed) { return .integer(number) }
            if let number = Double(trimmed), let whole = Int(exactly: number.rounded(.towardZero)) {
                return .integer(whole)
            }
        }
        return arguments[0, "default"] ?? .integer(0)
    }

    /// A mapping as a list of key and value.
    mutating func pairs(_ value: TemplateValue, _ line: Int) throws(TokenizationError) -> TemplateValue {
        switch value {
        case .undefined: return .list(TemplateList([]))
        case .dictionary(let dictionary):
            try charge(dictionary.keys.count * 2, line)
            let pairs = zip(dictionary.keys, dictionary.values).map {
                TemplateValue.list(TemplateList([$0, $1], isTuple: true))
            }
            return try bounded(.list(TemplateList(pairs)), line)
        default: throw .template(line: line, problem: "`items` of \(value.typeName)")
        }
    }

    private mutating func textFilter(
        _ text: TemplateText, _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateText {
        try charge(text.count, line)
        switch name {
        case "trim": return text.trimmed(try optionalText(arguments[0, "chars"], name, line))
        case "upper": return text.uppercased
        case "lower": return text.lowercased
        case "capitalize": return text.capitalized
        case "title": return text.titled
        case "replace": return try replaced(text, arguments, line)
        default: return try indented(text, arguments, line)
        }
    }

    /// - Returns: nil for an absent argument and for none.
    func optionalText(
        _ value: TemplateValue?, _ name: String, _ line: Int
    ) throws(TokenizationError) -> TemplateText? {
        switch value {
        case nil, .some(.none): return nil
        case .text(let text): return text
        case .some(let other): throw .template(line: line, problem: "`\(name)` needs a string, found \(other.typeName)")
        }
    }

    mutating func replaced(
        _ text: TemplateText, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateText {
        guard let old = try optionalText(arguments[0, "old"], "replace", line),
            let new = try optionalText(arguments[1, "new"], "replace", line)
        else { throw .template(line: line, problem: "`replace` needs two strings") }
        let limit = arguments[2, "count"]?.integerValue ?? -1
        try charge(text.count + old.count, line)
        let parts: [TemplateText]
        if old.isEmpty {
            // Python puts the new text between all characters and at both ends.
            let cuts = limit < 0 ? text.count + 1 : min(limit, text.count + 1)
            parts =
                (0..<cuts).map { $0 == 0 ? TemplateText() : text[$0 - 1..<$0] } + [text[max(cuts - 1, 0)..<text.count]]
        } else {
            parts = text.split(by: old, limit: limit < 0 ? .max : limit)
        }
        return try joined(parts, new, line)
    }

    mutating func joined(
        _ parts: [TemplateText], _ separator: TemplateText, _ line: Int
    ) throws(TokenizationError) -> TemplateText {
        var result = TemplateText()
        for (index, part) in parts.enumerated() {
            try charge(part.count + separator.count, line)
            if index > 0 { result.append(separator) }
            result.append(part)
        }
        return result
    }

    /// Jinja's `indent(width=4, first=False, blank=False)`.
    private mutating func indented(
        _ text: TemplateText, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateText {
        var margin = TemplateText("    ")
        if let width = arguments[0, "width"] {
            if case .text(let text) = width {
                margin = text
            } else {
                guard let count = width.integerValue, (0...256).contains(count) else {
                    throw .template(line: line, problem: "`indent` by \(width.typeName) outside 0 to 256")
                }
                margin = TemplateText(String(repeating: " ", count: count))
            }
        }
        let indentsFirst = arguments[1, "first"]?.isTrue ?? false
        let indentsBlank = arguments[2, "blank"]?.isTrue ?? false
        var result = TemplateText()
        for (index, part) in text.split(by: TemplateText("\n"), limit: .max).enumerated() {
            try charge(part.count + margin.count + 1, line)
            if index > 0 { result.append(TemplateText("\n")) }
            if index == 0 ? indentsFirst : indentsBlank || !part.isEmpty { result.append(margin) }
            result.append(part)
        }
        return result
    }
}
