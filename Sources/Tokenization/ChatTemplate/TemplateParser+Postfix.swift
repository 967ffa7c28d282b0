// What may follow a value: attributes, indices, calls, filters and tests.

extension TemplateParser {
    mutating func postfix(
        _ start: TemplateExpression
    ) throws(TokenizationError) -> TemplateExpression {
        var value = start
        while true {
            let line = line
            if take(symbol: ".") {
                if case .integer(let index) = current.kind {
                    advance()
                    let key = try node(line, .literal(.integer(index)))
                    value = try node(line, .item(value, key))
                } else {
                    value = try node(line, .attribute(value, try expectName()))
                }
            } else if take(symbol: "[") {
                value = try node(line, try itemOrSlice(value))
            } else if take(symbol: "(") {
                value = try node(line, .call(value, try arguments()))
            } else {
                return value
            }
        }
    }

    private mutating func itemOrSlice(
        _ value: TemplateExpression
    ) throws(TokenizationError) -> TemplateExpression.Kind {
        var parts: [TemplateExpression?] = [nil]
        while !isSymbol("]") {
            if take(symbol: ":") {
                parts.append(nil)
            } else {
                guard parts[parts.count - 1] == nil else { throw error("expected `]`, found \(found)") }
                parts[parts.count - 1] = try expression()
            }
        }
        try expect(symbol: "]")
        if parts.count == 1, let key = parts[0] { return .item(value, key) }
        guard parts.count == 2 || parts.count == 3 else { throw error("expected an index or a slice before `]`") }
        return .slice(value, start: parts[0], end: parts[1], step: parts.count == 3 ? parts[2] : nil)
    }

    /// After `(`.
    private mutating func arguments() throws(TokenizationError) -> TemplateArguments {
        var arguments = TemplateArguments()
        while !isSymbol(")") {
            if case .name(let name) = current.kind, lookahead().kind == .symbol("=") {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else {
                guard arguments.named.isEmpty else { throw error("a positional argument after a named one") }
                arguments.positional.append(try expression())
            }
            if !isSymbol(")") { try expect(symbol: ",") }
        }
        try expect(symbol: ")")
        return arguments
    }

    /// `| filter`, `is test` and calls of their results.
    mutating func filters(
        _ start: TemplateExpression
    ) throws(TokenizationError) -> TemplateExpression {
        var value = start
        while true {
            let line = line
            if take(symbol: "|") {
                let name = try expectName()
                let arguments = take(symbol: "(") ? try arguments() : TemplateArguments()
                value = try node(line, .filter(value, name, arguments))
            } else if take(name: "is") {
                value = try test(value, line)
            } else if take(symbol: "(") {
                value = try node(line, .call(value, try arguments()))
            } else {
                return value
            }
        }
    }

    private mutating func test(_ value: TemplateExpression, _ line: Int) throws(TokenizationError) -> TemplateExpression
    {
        let isNegated = take(name: "not")
        let name = try expectName()
        var arguments = TemplateArguments()
        if take(symbol: "(") {
            arguments = try self.arguments()
        } else if startsArgument {
            arguments.positional = [try postfix(try primary())]
        }
        let test = try node(line, .test(value, name, arguments))
        return try isNegated ? node(line, .not(test)) : test
    }

    /// Whether a test's one argument follows without brackets, as in `is divisibleby 3`.
    private var startsArgument: Bool {
        switch current.kind {
        case .name(let name): !["else", "or", "and", "is", "if", "in", "not"].contains(name)
        case .string, .integer, .float, .symbol("["), .symbol("{"): true
        default: false
        }
    }
}
