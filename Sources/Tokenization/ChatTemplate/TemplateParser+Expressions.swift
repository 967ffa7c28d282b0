// How do tokens form expressions? Jinja's own order of precedence, loosest first.

extension TemplateParser {
    /// `a if b else c`
    mutating func expression() throws(TokenizationError) -> TemplateExpression {
        try enter()
        defer { depth -= 1 }
        var value = try disjunction()
        while isName("if") {
            let line = line
            advance()
            let test = try disjunction()
            let otherwise = take(name: "else") ? try expression() : nil
            value = try node(line, .conditional(value, test: test, otherwise: otherwise))
        }
        return value
    }

    /// A chain of operators is a tree as deep as it is long, so length counts like depth.
    func node(
        _ line: Int, _ kind: TemplateExpression.Kind
    ) throws(TokenizationError) -> TemplateExpression {
        let node = TemplateExpression(line: line, kind: kind)
        guard node.height <= TemplateExpression.heightLimit else {
            throw .template(line: line, problem: "an expression nested more than \(TemplateExpression.heightLimit) deep")
        }
        return node
    }

    mutating func disjunction() throws(TokenizationError) -> TemplateExpression {
        var value = try conjunction()
        while isName("or") {
            let line = line
            advance()
            value = try node(line, .or(value, try conjunction()))
        }
        return value
    }

    private mutating func conjunction() throws(TokenizationError) -> TemplateExpression {
        var value = try negation()
        while isName("and") {
            let line = line
            advance()
            value = try node(line, .and(value, try negation()))
        }
        return value
    }

    private mutating func negation() throws(TokenizationError) -> TemplateExpression {
        guard isName("not") else { return try comparison() }
        try enter()
        defer { depth -= 1 }
        let line = line
        advance()
        return try node(line, .not(try negation()))
    }

    private mutating func comparison() throws(TokenizationError) -> TemplateExpression {
        let line = line
        let first = try sum()
        var operands: [(operation: TemplateExpression.Comparison, operand: TemplateExpression)] = []
        while let operation = takeComparison() { operands.append((operation, try sum())) }
        return try operands.isEmpty ? first : node(line, .compare(first, operands))
    }

    private mutating func takeComparison() -> TemplateExpression.Comparison? {
        switch current.kind {
        case .symbol(let symbol):
            guard let operation = TemplateExpression.Comparison(rawValue: symbol) else { return nil }
            advance()
            return operation
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where lookahead().kind == .name("in"):
            advance()
            advance()
            return .isNotIn
        default: return nil
        }
    }

    private mutating func takeOperator(
        _ operators: [TemplateExpression.BinaryOperator]
    ) -> TemplateExpression.BinaryOperator? {
        guard case .symbol(let symbol) = current.kind,
            let operation = TemplateExpression.BinaryOperator(rawValue: symbol), operators.contains(operation)
        else { return nil }
        advance()
        return operation
    }

    private mutating func sum() throws(TokenizationError) -> TemplateExpression {
        var value = try concatenation()
        while let operation = takeOperator([.add, .subtract]) {
            value = try node(line, .binary(operation, value, try concatenation()))
        }
        return value
    }

    private mutating func concatenation() throws(TokenizationError) -> TemplateExpression {
        var value = try product()
        while let operation = takeOperator([.concatenate]) {
            value = try node(line, .binary(operation, value, try product()))
        }
        return value
    }

    private mutating func product() throws(TokenizationError) -> TemplateExpression {
        var value = try power()
        while let operation = takeOperator([.multiply, .divide, .floorDivide, .modulo]) {
            value = try node(line, .binary(operation, value, try power()))
        }
        return value
    }

    private mutating func power() throws(TokenizationError) -> TemplateExpression {
        var value = try unary(withFilters: true)
        while let operation = takeOperator([.power]) {
            value = try node(line, .binary(operation, value, try unary(withFilters: true)))
        }
        return value
    }

    private mutating func unary(withFilters: Bool) throws(TokenizationError) -> TemplateExpression {
        try enter()
        defer { depth -= 1 }
        let line = line
        var value: TemplateExpression
        if take(symbol: "-") {
            value = try node(line, .negative(try unary(withFilters: false)))
        } else if take(symbol: "+") {
            value = try unary(withFilters: false)
        } else {
            value = try primary()
        }
        value = try postfix(value)
        return withFilters ? try filters(value) : value
    }

    private mutating func primary() throws(TokenizationError) -> TemplateExpression {
        let line = line
        func literal(_ value: TemplateValue) -> TemplateExpression { TemplateExpression(line: line, kind: .literal(value)) }
        switch current.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return literal(.bool(true))
            case "false", "False": return literal(.bool(false))
            case "none", "None": return literal(.none)
            default: return try node(line, .name(name))
            }
        case .string:
            // Strings side by side are one string.
            var text = TemplateText()
            while case .string(let part) = current.kind {
                text.append(TemplateText(part))
                advance()
            }
            return literal(.text(text))
        case .integer(let value):
            advance()
            return literal(.integer(value))
        case .float(let value):
            advance()
            return literal(.float(value))
        case .symbol("("):
            advance()
            return try group(line)
        case .symbol("["):
            advance()
            return try node(line, .list(try listItems(until: "]")))
        case .symbol("{"):
            advance()
            return try dictionary(line)
        default: throw error("expected a value, found \(found)")
        }
    }

    /// After `(`: one expression, or a tuple, which here is a list.
    private mutating func group(_ line: Int) throws(TokenizationError) -> TemplateExpression {
        if take(symbol: ")") { return try node(line, .list([])) }
        let first = try expression()
        guard take(symbol: ",") else {
            try expect(symbol: ")")
            return first
        }
        return try node(line, .list([first] + (try listItems(until: ")"))))
    }

    private mutating func listItems(until end: String) throws(TokenizationError) -> [TemplateExpression] {
        var items: [TemplateExpression] = []
        while !isSymbol(end) {
            items.append(try expression())
            if !isSymbol(end) { try expect(symbol: ",") }
        }
        try expect(symbol: end)
        return items
    }

    private mutating func dictionary(_ line: Int) throws(TokenizationError) -> TemplateExpression {
        var members: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !isSymbol("}") {
            let key = try expression()
            try expect(symbol: ":")
            members.append((key, try expression()))
            if !isSymbol("}") { try expect(symbol: ",") }
        }
        try expect(symbol: "}")
        return try node(line, .dictionary(members))
    }

    private mutating func postfix(
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
    private mutating func filters(
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

    private mutating func test(_ value: TemplateExpression, _ line: Int) throws(TokenizationError) -> TemplateExpression {
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
