// How do tokens form statements?

struct TemplateParser {
    /// Statements and expressions within each other; a template that needs more is refused.
    static let depthLimit = 100

    private let tokens: [TemplateToken]
    private var position = 0
    var depth = 0

    static func statements(_ source: String) throws(TokenizationError) -> [TemplateStatement] {
        var parser = TemplateParser(tokens: try TemplateLexer.tokens(source))
        let (statements, _) = try parser.body(until: [])
        return statements
    }

    private init(tokens: [TemplateToken]) { self.tokens = tokens }

    var current: TemplateToken { tokens[position] }
    var line: Int { current.line }
    func lookahead() -> TemplateToken { tokens[min(position + 1, tokens.count - 1)] }

    mutating func advance() { position = min(position + 1, tokens.count - 1) }

    func error(_ problem: String) -> TokenizationError { .template(line: line, problem: problem) }

    func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }
    func isName(_ name: String) -> Bool { current.kind == .name(name) }

    mutating func take(symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func take(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expect(symbol: String) throws(TokenizationError) {
        guard take(symbol: symbol) else { throw error("expected `\(symbol)`, found \(found)") }
    }

    mutating func expectName() throws(TokenizationError) -> String {
        guard case .name(let name) = current.kind else { throw error("expected a name, found \(found)") }
        advance()
        return name
    }

    var found: String {
        switch current.kind {
        case .text: "text"
        case .blockBegin: "`{%`"
        case .blockEnd: "`%}`"
        case .variableBegin: "`{{`"
        case .variableEnd: "`}}`"
        case .name(let name): "`\(name.shortened(40))`"
        case .string(let string): "the string '\(string.shortened(40))'"
        case .integer(let value): "\(value)"
        case .float(let value): "\(value)"
        case .symbol(let symbol): "`\(symbol)`"
        case .end: "the end of the template"
        }
    }

    mutating func enter() throws(TokenizationError) {
        depth += 1
        guard depth <= TemplateParser.depthLimit else {
            throw error("nested more than \(TemplateParser.depthLimit) deep")
        }
    }

    /// Statements up to one of the tags named, which is consumed; without names, up to the template's end.
    private mutating func body(
        until ends: [String]
    ) throws(TokenizationError) -> (statements: [TemplateStatement], end: String) {
        try enter()
        defer { depth -= 1 }
        let openedAt = line
        var statements: [TemplateStatement] = []
        while true {
            let line = line
            switch current.kind {
            case .text(let units):
                advance()
                statements.append(TemplateStatement(line: line, kind: .text(TemplateText(units: units))))
            case .variableBegin:
                advance()
                let value = try expression()
                guard current.kind == .variableEnd else { throw error("expected `}}`, found \(found)") }
                advance()
                statements.append(TemplateStatement(line: line, kind: .output(value)))
            case .blockBegin:
                advance()
                let keyword = try expectName()
                if ends.contains(keyword) { return (statements, keyword) }
                statements.append(TemplateStatement(line: line, kind: try statement(keyword)))
            default:
                guard ends.isEmpty else { throw .template(line: openedAt, problem: "no `\(ends.last!)` to the end") }
                return (statements, "")
            }
        }
    }

    private mutating func endBlock() throws(TokenizationError) {
        guard current.kind == .blockEnd else { throw error("expected `%}`, found \(found)") }
        advance()
    }

    /// What stands after `{% keyword`.
    private mutating func statement(_ keyword: String) throws(TokenizationError) -> TemplateStatement.Kind {
        switch keyword {
        case "if": return try branches()
        case "for": return try loop()
        case "set": return try assignment()
        case "macro": return try macro()
        case "generation":
            try endBlock()
            let (statements, _) = try body(until: ["endgeneration"])
            try endBlock()
            return .generation(statements)
        case "break":
            try endBlock()
            return .leaveLoop
        case "continue":
            try endBlock()
            return .nextTurn
        default: throw error("the tag `\(keyword.shortened(40))` is not supported here")
        }
    }

    private mutating func branches() throws(TokenizationError) -> TemplateStatement.Kind {
        var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
        var keyword = "elif"
        while keyword == "elif" {
            let test = try expression()
            try endBlock()
            let (statements, end) = try body(until: ["elif", "else", "endif"])
            branches.append((test, statements))
            keyword = end
        }
        var otherwise: [TemplateStatement] = []
        if keyword == "else" {
            try endBlock()
            otherwise = try body(until: ["endif"]).statements
        }
        try endBlock()
        return .branches(branches, otherwise: otherwise)
    }

    private mutating func loop() throws(TokenizationError) -> TemplateStatement.Kind {
        let targets = try names()
        guard take(name: "in") else { throw error("expected `in`, found \(found)") }
        let iterable = try disjunction()
        let filter = take(name: "if") ? try disjunction() : nil
        if isName("recursive") { throw error("`recursive` loops are not supported") }
        try endBlock()
        let (statements, end) = try body(until: ["else", "endfor"])
        var otherwise: [TemplateStatement] = []
        if end == "else" {
            try endBlock()
            otherwise = try body(until: ["endfor"]).statements
        }
        try endBlock()
        return .loop(
            TemplateLoop(
                targets: targets, iterable: iterable, filter: filter, body: statements, otherwise: otherwise))
    }

    /// `a`, `a, b` or `(a, b)`.
    private mutating func names() throws(TokenizationError) -> [String] {
        let inBrackets = take(symbol: "(")
        var names = [try expectName()]
        while take(symbol: ",") { names.append(try expectName()) }
        if inBrackets { try expect(symbol: ")") }
        return names
    }

    private mutating func assignment() throws(TokenizationError) -> TemplateStatement.Kind {
        var targets: [TemplateStatement.Target] = []
        repeat {
            let name = try expectName()
            targets.append(take(symbol: ".") ? .attribute(name, try expectName()) : .name(name))
        } while take(symbol: ",")
        if take(symbol: "=") {
            let line = line
            var values = [try expression()]
            while take(symbol: ",") { values.append(try expression()) }
            try endBlock()
            return .set(targets, values.count == 1 ? values[0] : try node(line, .list(values, isTuple: true)))
        }
        guard targets.count == 1 else { throw error("expected `=`, found \(found)") }
        try endBlock()
        let (statements, _) = try body(until: ["endset"])
        try endBlock()
        return .setBlock(targets[0], statements)
    }

    private mutating func macro() throws(TokenizationError) -> TemplateStatement.Kind {
        let name = try expectName()
        try expect(symbol: "(")
        var parameters: [(name: String, fallback: TemplateExpression?)] = []
        while !isSymbol(")") {
            if !parameters.isEmpty { try expect(symbol: ",") }
            let parameter = try expectName()
            parameters.append((parameter, take(symbol: "=") ? try expression() : nil))
        }
        try expect(symbol: ")")
        try endBlock()
        let (statements, _) = try body(until: ["endmacro"])
        try endBlock()
        return .macro(TemplateMacro(name: name, parameters: parameters, body: statements))
    }
}
