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
            throw .template(
                line: line, problem: "an expression nested more than \(TemplateExpression.heightLimit) deep")
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

    mutating func primary() throws(TokenizationError) -> TemplateExpression {
        let line = line
        func literal(_ value: TemplateValue) -> TemplateExpression {
            TemplateExpression(line: line, kind: .literal(value))
        }
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
            return try node(line, .list(try listItems(until: "]"), isTuple: false))
        case .symbol("{"):
            advance()
            return try dictionary(line)
        default: throw error("expected a value, found \(found)")
        }
    }

    /// After `(`: one expression, or a tuple.
    private mutating func group(_ line: Int) throws(TokenizationError) -> TemplateExpression {
        if take(symbol: ")") { return try node(line, .list([], isTuple: true)) }
        let first = try expression()
        guard take(symbol: ",") else {
            try expect(symbol: ")")
            return first
        }
        return try node(line, .list([first] + (try listItems(until: ")")), isTuple: true))
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
}
