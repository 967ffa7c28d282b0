// What do filters over lists give?

extension TemplateEvaluator {
    mutating func listFilter(
        _ value: TemplateValue, _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        let known = [
            "join", "first", "last", "list", "reverse", "sort", "unique", "sum", "min", "max", "map", "select",
            "reject",
            "selectattr", "rejectattr",
        ]
        guard known.contains(name) else {
            throw .template(line: line, problem: "the filter `\(name.shortened(40))` is not supported")
        }
        if name == "reverse", case .text(let text) = value {
            try charge(text.count, line)
            return .text(text.reversed)
        }
        let items = try items(of: value, line)
        try charge(items.count, line)
        switch name {
        case "join": return try join(items, arguments, line)
        case "first": return items.first ?? .undefined("the first item of an empty list")
        case "last": return items.last ?? .undefined("the last item of an empty list")
        case "list": return .list(TemplateList(items))
        case "reverse": return .list(TemplateList(items.reversed()))
        case "sort": return try sorted(items, arguments, byFirst: false, line)
        case "unique": return try unique(items, line)
        case "sum":
            var total = TemplateValue.integer(0)
            for item in items { total = try combine(.add, total, item, line) }
            return total
        case "min", "max":
            let sorted = try self.items(of: try sorted(items, Arguments(), byFirst: false, line), line)
            return (name == "min" ? sorted.first : sorted.last) ?? .undefined("the \(name) of an empty list")
        case "map": return try mapped(items, arguments, line)
        default: return try selected(items, name, arguments, line)
        }
    }

    private mutating func join(
        _ items: [TemplateValue], _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        let separator = try optionalText(arguments[0, "d"], "join", line) ?? TemplateText()
        let attribute = try optionalText(arguments[1, "attribute"], "join", line)
        var parts: [TemplateText] = []
        for item in items {
            let value = try attribute.map { name throws(TokenizationError) in try member(item, name, line) } ?? item
            parts.append(try printed(value, line))
        }
        return .text(try joined(parts, separator, line))
    }

    /// Jinja's dotted `attribute`: keys and indices, one after the other.
    private mutating func member(
        _ item: TemplateValue, _ path: TemplateText, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        var value = item
        for part in path.split(by: TemplateText("."), limit: .max) {
            try charge(1, line)
            switch value {
            case .dictionary(let dictionary): value = dictionary[part] ?? .undefined(part.string)
            case .list(let list):
                let index = Int(part.string) ?? -1
                value = list.items.indices.contains(index) ? list.items[index] : .undefined(part.string)
            case .namespace(let index): value = attribute(namespace: index, part.string) ?? .undefined(part.string)
            default: value = .undefined(part.string)
            }
        }
        return value
    }

    private mutating func unique(_ items: [TemplateValue], _ line: Int) throws(TokenizationError) -> TemplateValue {
        var kept: [TemplateValue] = []
        for item in items where try !contains(.list(TemplateList(kept)), item, line) {
            try charge(kept.count, line)
            kept.append(item)
        }
        return .list(TemplateList(kept))
    }

    /// All numbers, or all strings, which compare without regard to case as Jinja's filters do by default.
    /// - Parameter byFirst: the items are pairs, ordered by their first half.
    mutating func sorted(
        _ items: [TemplateValue], _ arguments: Arguments, byFirst: Bool, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        let isReversed = arguments[0, "reverse"]?.isTrue ?? false
        let keepsCase = arguments[1, "case_sensitive"]?.isTrue ?? false
        let attribute = try optionalText(arguments[2, "attribute"], "sort", line)
        var texts: [TemplateText] = []
        var numbers: [Double] = []
        for item in items {
            var key = item
            if let attribute { key = try member(item, attribute, line) }
            if byFirst, case .list(let pair) = item { key = pair.items[0] }
            if case .text(let text) = key {
                try charge(text.count * 8, line)
                texts.append(keepsCase ? text : text.lowercased)
            } else if let number = key.number {
                numbers.append(number)
            }
        }
        guard texts.count == items.count || numbers.count == items.count else {
            throw .template(line: line, problem: "only strings alone or numbers alone can be sorted")
        }
        // The position decides among equals, also backwards: Python's order is stable both ways.
        let byText = texts.count == items.count
        let order = items.indices.sorted { first, second in
            let (left, right) = isReversed ? (second, first) : (first, second)
            if byText ? texts[left] < texts[right] : numbers[left] < numbers[right] { return true }
            if byText ? texts[right] < texts[left] : numbers[right] < numbers[left] { return false }
            return first < second
        }
        return .list(TemplateList(order.map { items[$0] }))
    }

    private mutating func mapped(
        _ items: [TemplateValue], _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        var results: [TemplateValue] = []
        if let attribute = try optionalText(arguments.named.first { $0.0 == "attribute" }?.1, "map", line) {
            let fallback = arguments.named.first { $0.0 == "default" }?.1
            for item in items {
                let value = try member(item, attribute, line)
                if case .undefined = value, let fallback { results.append(fallback) } else { results.append(value) }
            }
        } else {
            guard case .text(let name)? = arguments.positional.first else {
                throw .template(line: line, problem: "`map` needs an attribute or a filter's name")
            }
            let rest = Arguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
            for item in items {
                try enter(line)
                defer { leave() }
                results.append(try filter(item, name.string, rest, line))
            }
        }
        return try bounded(.list(TemplateList(results)), line)
    }

    /// `select`, `reject` and their `attr` forms: those items for which a test holds, or does not.
    private mutating func selected(
        _ items: [TemplateValue], _ name: String, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        var positional = arguments.positional
        var attribute: TemplateText?
        if name.hasSuffix("attr") {
            guard case .text(let path)? = positional.first else {
                throw .template(line: line, problem: "`\(name)` needs an attribute's name")
            }
            attribute = path
            positional.removeFirst()
        }
        let test = try optionalText(positional.first, name, line)?.string
        if test != nil { positional.removeFirst() }
        var kept: [TemplateValue] = []
        for item in items {
            var value = item
            if let attribute { value = try member(item, attribute, line) }
            let holds: Bool
            if let test { holds = try self.test(value, test, positional, line) } else { holds = value.isTrue }
            if holds == name.hasPrefix("select") { kept.append(item) }
        }
        return .list(TemplateList(kept))
    }
}
