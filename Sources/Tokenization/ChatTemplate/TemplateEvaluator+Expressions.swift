// What is an expression's value?

extension TemplateEvaluator {
    mutating func evaluate(_ expression: TemplateExpression) throws(TokenizationError) -> TemplateValue {
        try enter(expression.line)
        defer { leave() }
        let line = expression.line
        switch expression.kind {
        case .literal(let value): return value
        case .name(let name): return value(name)
        case .list(let items, let isTuple):
            var values: [TemplateValue] = []
            for item in items { values.append(try evaluate(item)) }
            return try bounded(.list(TemplateList(values, isTuple: isTuple)), line)
        case .dictionary(let members): return try dictionary(members, line)
        case .attribute(let holder, let name): return try attribute(of: try evaluate(holder), name, line)
        case .item(let holder, let key): return try item(of: try evaluate(holder), try evaluate(key), line)
        case .slice(let value, let start, let end, let step): return try slice(value, start, end, step, line)
        case .call(let callee, let arguments): return try call(callee, arguments, line)
        case .filter(let value, let name, let arguments):
            return try filter(try evaluate(value), name, try evaluate(arguments), line)
        case .test(let value, let name, let arguments):
            return .bool(try test(try evaluate(value), name, try evaluate(arguments).positional, line))
        case .not(let value): return .bool(try !evaluate(value).isTrue)
        case .negative(let value): return try negated(try evaluate(value), line)
        case .binary(let operation, let left, let right):
            return try combine(operation, try evaluate(left), try evaluate(right), line)
        case .compare(let first, let operands): return try compare(first, operands, line)
        case .and(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? try evaluate(right) : value
        case .or(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? value : try evaluate(right)
        case .conditional(let value, let test, let otherwise):
            if try evaluate(test).isTrue { return try evaluate(value) }
            guard let otherwise else { return .undefined("if without else") }
            return try evaluate(otherwise)
        }
    }

    struct Arguments {
        var positional: [TemplateValue] = []
        var named: [(String, TemplateValue)] = []

        /// By position or by name.
        subscript(position: Int, name: String) -> TemplateValue? {
            position < positional.count ? positional[position] : named.first { $0.0 == name }?.1
        }
    }

    private mutating func evaluate(_ arguments: TemplateArguments) throws(TokenizationError) -> Arguments {
        var result = Arguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument)) }
        for (name, value) in arguments.named { result.named.append((name, try evaluate(value))) }
        return result
    }

    private mutating func dictionary(
        _ members: [(key: TemplateExpression, value: TemplateExpression)], _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        var keys: [TemplateValue] = []
        var values: [TemplateValue] = []
        for member in members {
            let key = try evaluate(member.key)
            let value = try evaluate(member.value)
            var known: Int?
            for index in keys.indices where try equal(keys[index], key, line) { known = index }
            if let known {
                values[known] = value
            } else {
                keys.append(key)
                values.append(value)
            }
        }
        return try bounded(.dictionary(TemplateDictionary(keys: keys, values: values)), line)
    }

    private func undefined(_ name: String, _ line: Int) -> TokenizationError {
        .template(line: line, problem: "`\(name.shortened(60))` is not defined")
    }

    /// `value.name`
    private mutating func attribute(
        of value: TemplateValue, _ name: String, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        switch value {
        case .undefined(let holder): throw undefined(holder, line)
        case .dictionary(let dictionary): return dictionary[TemplateText(name)] ?? .undefined(name)
        case .namespace(let index): return attribute(namespace: index, name) ?? .undefined(name)
        case .loop(let index): return try loopAttribute(index, name, line)
        default: return .undefined(name)
        }
    }

    /// `value[key]`
    private mutating func item(
        of value: TemplateValue, _ key: TemplateValue, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        switch (value, key) {
        case (.undefined(let holder), _): throw undefined(holder, line)
        case (.dictionary(let dictionary), _):
            try charge(dictionary.keys.count, line)
            for (index, candidate) in dictionary.keys.enumerated() where try equal(candidate, key, line) {
                return dictionary.values[index]
            }
            return .undefined(try printed(key, line).string)
        case (.list(let list), _):
            guard let index = key.integerValue else { return .undefined(try printed(key, line).string) }
            let position = index < 0 ? index + list.items.count : index
            return list.items.indices.contains(position) ? list.items[position] : .undefined("item \(index)")
        case (.text(let text), _):
            guard let index = key.integerValue else { return .undefined(try printed(key, line).string) }
            let position = index < 0 ? index + text.count : index
            guard (0..<text.count).contains(position) else { return .undefined("character \(index)") }
            return .text(text[position..<position + 1])
        case (_, .text(let name)): return try attribute(of: value, name.string, line)
        default: return .undefined(try printed(key, line).string)
        }
    }

    private func loopAttribute(_ index: Int, _ name: String, _ line: Int) throws(TokenizationError) -> TemplateValue {
        let state = loops[index]
        switch name {
        case "index": return .integer(state.index + 1)
        case "index0": return .integer(state.index)
        case "revindex": return .integer(state.items.count - state.index)
        case "revindex0": return .integer(state.items.count - state.index - 1)
        case "first": return .bool(state.index == 0)
        case "last": return .bool(state.index == state.items.count - 1)
        case "length": return .integer(state.items.count)
        case "previtem": return state.index > 0 ? state.items[state.index - 1] : .undefined("loop.previtem")
        case "nextitem":
            return state.index + 1 < state.items.count ? state.items[state.index + 1] : .undefined("loop.nextitem")
        default: throw .template(line: line, problem: "`loop.\(name.shortened(40))` is not supported")
        }
    }

    private mutating func slice(
        _ value: TemplateExpression, _ start: TemplateExpression?, _ end: TemplateExpression?,
        _ step: TemplateExpression?, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        let value = try evaluate(value)
        func bound(_ expression: TemplateExpression?) throws(TokenizationError) -> Int? {
            guard let expression else { return nil }
            let value = try evaluate(expression)
            if case .none = value { return nil }
            guard let index = value.integerValue else {
                throw .template(line: line, problem: "a slice from or to \(value.typeName)")
            }
            return index
        }
        let (start, end, step) = (try bound(start), try bound(end), try bound(step) ?? 1)
        guard step != 0, step != .min else { throw .template(line: line, problem: "a slice with step \(step)") }
        switch value {
        case .text(let text):
            try charge(text.count, line)
            let indices = TemplateEvaluator.indices(count: text.count, start, end, step)
            return .text(TemplateText(units: indices.map { text.units[$0] }))
        case .list(let list):
            try charge(list.items.count, line)
            let indices = TemplateEvaluator.indices(count: list.items.count, start, end, step)
            return .list(TemplateList(indices.map { list.items[$0] }, isTuple: list.isTuple))
        case .undefined(let name): throw undefined(name, line)
        default: throw .template(line: line, problem: "a slice of \(value.typeName)")
        }
    }

    /// Python's rules: negative bounds count from the end, and all are brought into range.
    private static func indices(count: Int, _ start: Int?, _ end: Int?, _ step: Int) -> [Int] {
        let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
        func clamped(_ bound: Int?, _ fallback: Int) -> Int {
            guard let bound else { return fallback }
            return min(max(bound < 0 ? max(bound, -count - 1) + count : bound, low), high)
        }
        let from = clamped(start, step > 0 ? low : high)
        let to = clamped(end, step > 0 ? high : low)
        // A step beyond the whole takes the first item only; kept small so that the sum cannot overflow.
        return Array(stride(from: from, to: to, by: min(max(step, -count - 1), count + 1)))
    }

    private mutating func call(
        _ callee: TemplateExpression, _ arguments: TemplateArguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        if case .attribute(let holder, let name) = callee.kind {
            let object = try evaluate(holder)
            let values = try evaluate(arguments)
            if case .macro(let index) = try storedMacro(object, name) {
                return try call(macro: index, values.positional, values.named, line)
            }
            return try callMethod(object, name, values, line)
        }
        let function = try evaluate(callee)
        let values = try evaluate(arguments)
        switch function {
        case .macro(let index): return try call(macro: index, values.positional, values.named, line)
        case .function(let function): return try call(function, values, line)
        case .undefined(let name): throw undefined(name, line)
        default: throw .template(line: line, problem: "a call of \(function.typeName)")
        }
    }

    private func storedMacro(_ holder: TemplateValue, _ name: String) throws(TokenizationError) -> TemplateValue? {
        if case .namespace(let index) = holder { return attribute(namespace: index, name) }
        return nil
    }

    private mutating func call(
        _ function: TemplateFunction, _ arguments: Arguments, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        switch function {
        case .namespace: return makeNamespace(arguments.named)
        case .dict: return try bounded(.dictionary(TemplateDictionary(arguments.named)), line)
        case .raiseException:
            let message = try arguments.positional.first.map { value throws(TokenizationError) in
                try printed(value, line).string
            }
            throw .template(line: line, problem: message ?? "raise_exception")
        case .strftimeNow:
            guard case .text(let format)? = arguments.positional.first else {
                throw .template(line: line, problem: "`strftime_now` needs a format")
            }
            return try formattedDate(format, line)
        case .range:
            let bounds = arguments.positional.compactMap(\.integerValue)
            guard bounds.count == arguments.positional.count, (1...3).contains(bounds.count) else {
                throw .template(line: line, problem: "`range` needs one to three whole numbers")
            }
            let (start, end) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
            let step = bounds.count == 3 ? bounds[2] : 1
            let limit = 1 << 40
            guard step != 0, [start, end, step].allSatisfy({ (-limit...limit).contains($0) }) else {
                throw .template(line: line, problem: "`range` from \(start) to \(end) by \(step)")
            }
            let numbers = stride(from: start, to: end, by: step)
            let span = step > 0 ? max(0, end - start) : max(0, start - end)
            try charge((span / abs(step) + 1) * 8, line)
            return .list(TemplateList(numbers.map { .integer($0) }))
        }
    }
}
