// What do tests (`value is name`) and methods (`value.name()`) give?

extension TemplateEvaluator {
    mutating func test(
        _ value: TemplateValue, _ name: String, _ arguments: [TemplateValue], _ line: Int
    ) throws(TokenizationError) -> Bool {
        switch (name, value) {
        case ("defined", .undefined): return false
        case ("defined", _), ("undefined", .undefined): return true
        case ("undefined", _): return false
        case ("none", .none), ("true", .bool(true)), ("false", .bool(false)), ("boolean", .bool): return true
        case ("none", _), ("true", _), ("false", _), ("boolean", _): return false
        case ("string", .text), ("mapping", .dictionary): return true
        case ("string", _), ("mapping", _): return false
        case ("iterable", .text), ("iterable", .list), ("iterable", .dictionary), ("iterable", .undefined): return true
        case ("sequence", .text), ("sequence", .list), ("sequence", .dictionary), ("sequence", .undefined): return true
        case ("iterable", _), ("sequence", _): return false
        case ("number", _): return value.number != nil
        case ("integer", .integer), ("float", .float), ("callable", .macro), ("callable", .function): return true
        case ("integer", _), ("float", _), ("callable", _): return false
        case ("lower", _): return try isCased(try printed(value, line), \.lowercased)
        case ("upper", _): return try isCased(try printed(value, line), \.uppercased)
        case ("odd", _), ("even", _), ("divisibleby", _): return try divides(value, name, arguments, line)
        default: break
        }
        let comparisons: [String: TemplateExpression.Comparison] = [
            "eq": .equal, "==": .equal, "equalto": .equal, "sameas": .equal, "ne": .unequal, "!=": .unequal,
            "lt": .less, "<": .less, "lessthan": .less, "le": .lessOrEqual, "<=": .lessOrEqual,
            "gt": .greater, ">": .greater, "greaterthan": .greater, "ge": .greaterOrEqual, ">=": .greaterOrEqual,
            "in": .isIn,
        ]
        guard let comparison = comparisons[name] else {
            throw .template(line: line, problem: "the test `\(name.shortened(40))` is not supported")
        }
        guard arguments.count == 1 else { throw .template(line: line, problem: "the test `\(name)` needs one value") }
        return try holds(comparison, value, arguments[0], line)
    }

    /// Python's `islower` and `isupper`: a cased letter, and none of the other case.
    private mutating func isCased(
        _ text: TemplateText, _ cased: (TemplateText) -> TemplateText
    ) throws(TokenizationError) -> Bool {
        cased(text) == text && text.uppercased != text.lowercased
    }

    private func divides(
        _ value: TemplateValue, _ name: String, _ arguments: [TemplateValue], _ line: Int
    ) throws(TokenizationError) -> Bool {
        let divisor = name == "divisibleby" ? arguments.first?.integerValue ?? 0 : 2
        guard let number = value.integerValue, divisor != 0 else {
            throw .template(line: line, problem: "the test `\(name)` of \(value.typeName)")
        }
        let isMultiple = number.isMultiple(of: divisor)
        return name == "odd" ? !isMultiple : isMultiple
    }

    mutating func callMethod(
        _ object: TemplateValue, _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        switch object {
        case .text(let text): return try textMethod(text, name, arguments, line)
        case .dictionary(let dictionary): return try dictionaryMethod(dictionary, name, arguments, line)
        case .undefined(let holder): throw .template(line: line, problem: "`\(holder.shortened(60))` is not defined")
        case .loop(let index) where name == "cycle" && !arguments.positional.isEmpty:
            return arguments.positional[loops[index].index % arguments.positional.count]
        case .list(let list) where name == "index" || name == "count":
            guard let item = arguments.positional.first else { break }
            var places: [Int] = []
            for (place, candidate) in list.items.enumerated() where try equal(candidate, item, line) {
                places.append(place)
            }
            if name == "count" { return .integer(places.count) }
            guard let first = places.first else {
                throw .template(line: line, problem: "`index` of what is not in the list")
            }
            return .integer(first)
        default: break
        }
        throw .template(
            line: line, problem: "the method `\(name.shortened(40))` of \(object.typeName) is not supported")
    }

    private mutating func dictionaryMethod(
        _ dictionary: TemplateDictionary, _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        try charge(dictionary.keys.count, line)
        switch name {
        case "get":
            guard let key = arguments.positional.first else {
                throw .template(line: line, problem: "`get` needs a key")
            }
            for (candidate, value) in zip(dictionary.keys, dictionary.values) where try equal(candidate, key, line) {
                return value
            }
            return arguments[1, "default"] ?? .none
        case "items": return try pairs(.dictionary(dictionary), line)
        case "keys": return .list(TemplateList(dictionary.keys))
        case "values": return .list(TemplateList(dictionary.values))
        default:
            throw .template(line: line, problem: "the method `\(name.shortened(40))` of a mapping is not supported")
        }
    }

    private mutating func textMethod(
        _ text: TemplateText, _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        try charge(text.count, line)
        switch name {
        case "strip": return .text(text.trimmed(try optionalText(arguments[0, ""], name, line)))
        case "lstrip": return .text(text.trimmed(try optionalText(arguments[0, ""], name, line), right: false))
        case "rstrip": return .text(text.trimmed(try optionalText(arguments[0, ""], name, line), left: false))
        case "upper": return .text(text.uppercased)
        case "lower": return .text(text.lowercased)
        case "capitalize": return .text(text.capitalized)
        case "title": return .text(text.titled)
        case "replace": return .text(try replaced(text, arguments, line))
        case "split", "rsplit": return try split(text, fromRight: name == "rsplit", arguments, line)
        case "splitlines":
            var lines = text.split(by: TemplateText("\n"), limit: .max)
            if lines.last?.isEmpty ?? false { lines.removeLast() }
            return .list(TemplateList(lines.map { .text($0) }))
        case "join":
            guard let list = arguments.positional.first else { break }
            var parts: [TemplateText] = []
            for item in try items(of: list, line) {
                guard case .text(let part) = item else {
                    throw .template(line: line, problem: "`join` of \(item.typeName)")
                }
                parts.append(part)
            }
            return .text(try joined(parts, text, line))
        case "startswith", "endswith":
            var options: [TemplateValue] = arguments.positional
            if case .list(let list)? = options.first { options = list.items }
            for option in options {
                guard case .text(let part) = option else { break }
                try charge(part.count, line)
                if name == "startswith" ? text.hasPrefix(part) : text.hasSuffix(part) { return .bool(true) }
            }
            return .bool(false)
        case "removeprefix", "removesuffix", "find", "count":
            guard let part = try optionalText(arguments[0, ""], name, line) else { break }
            return textMethod(text, name, with: part)
        case "isdigit": return .bool(!text.isEmpty && text.units.allSatisfy { isDigit(TemplateText.scalar($0)) })
        default: break
        }
        throw .template(line: line, problem: "the method `\(name.shortened(40))` of a string is not supported here")
    }

    private func isDigit(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
    }

    private func textMethod(_ text: TemplateText, _ name: String, with part: TemplateText) -> TemplateValue {
        switch name {
        case "removeprefix": return .text(text.hasPrefix(part) ? text[part.count..<text.count] : text)
        case "removesuffix":
            return .text(text.hasSuffix(part) && !part.isEmpty ? text[0..<text.count - part.count] : text)
        case "find": return .integer(part.isEmpty ? 0 : text.occurrences(of: part, limit: 1).first ?? -1)
        default: return .integer(part.isEmpty ? text.count + 1 : text.occurrences(of: part).count)
        }
    }

    private mutating func split(
        _ text: TemplateText, fromRight: Bool, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        let separator = try optionalText(arguments[0, "sep"], "split", line)
        let limit = arguments[1, "maxsplit"]?.integerValue ?? -1
        let cuts = limit < 0 ? Int.max : limit
        if let separator, separator.isEmpty { throw .template(line: line, problem: "`split` at an empty string") }
        let parts: [TemplateText]
        switch (separator, fromRight) {
        case (let separator?, false): parts = text.split(by: separator, limit: cuts)
        case (nil, false): parts = text.splitAtSpaces(limit: cuts)
        // From the right is from the left of the mirror image.
        case (let separator?, true):
            parts = text.reversed.split(by: separator.reversed, limit: cuts).reversed().map(\.reversed)
        case (nil, true): parts = text.reversed.splitAtSpaces(limit: cuts).reversed().map(\.reversed)
        }
        try charge(parts.count * 8, line)
        return .list(TemplateList(parts.map { .text($0) }))
    }
}
