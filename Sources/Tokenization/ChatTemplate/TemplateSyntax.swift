// What does a parsed template consist of?

struct TemplateExpression: Sendable {
    /// Higher trees are refused, so that walking one never runs out of stack.
    static let heightLimit = 200

    let line: Int
    let kind: Kind
    /// Expressions within each other, this one included.
    let height: Int

    init(line: Int, kind: Kind) {
        self.line = line
        self.kind = kind
        height = 1 + (kind.children.map(\.height).max() ?? 0)
    }

    indirect enum Kind: Sendable {
        case literal(TemplateValue)
        case name(String)
        case list([TemplateExpression], isTuple: Bool)
        case dictionary([(key: TemplateExpression, value: TemplateExpression)])
        case attribute(TemplateExpression, String)
        case item(TemplateExpression, TemplateExpression)
        case slice(TemplateExpression, start: TemplateExpression?, end: TemplateExpression?, step: TemplateExpression?)
        case call(TemplateExpression, TemplateArguments)
        case filter(TemplateExpression, String, TemplateArguments)
        case test(TemplateExpression, String, TemplateArguments)
        case not(TemplateExpression)
        case negative(TemplateExpression)
        case binary(BinaryOperator, TemplateExpression, TemplateExpression)
        case compare(TemplateExpression, [(operation: Comparison, operand: TemplateExpression)])
        case and(TemplateExpression, TemplateExpression)
        case or(TemplateExpression, TemplateExpression)
        case conditional(TemplateExpression, test: TemplateExpression, otherwise: TemplateExpression?)
    }

    fileprivate static func parts(_ arguments: TemplateArguments) -> [TemplateExpression] {
        arguments.positional + arguments.named.map(\.value)
    }

    enum BinaryOperator: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case modulo = "%"
        case power = "**"
        case concatenate = "~"
    }

    enum Comparison: String, Sendable {
        case equal = "=="
        case unequal = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case isIn = "in"
        case isNotIn = "not in"
    }
}

struct TemplateArguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
}

struct TemplateStatement: Sendable {
    let line: Int
    let kind: Kind

    indirect enum Kind: Sendable {
        case text(TemplateText)
        case output(TemplateExpression)
        case branches([(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(TemplateLoop)
        case set([Target], TemplateExpression)
        case setBlock(Target, [TemplateStatement])
        case macro(TemplateMacro)
        /// A part that transformers marks as written by the assistant; here it only groups.
        case generation([TemplateStatement])
        case leaveLoop
        case nextTurn
    }

    enum Target: Sendable {
        case name(String)
        /// An attribute of a namespace.
        case attribute(String, String)
    }
}

struct TemplateLoop: Sendable {
    var targets: [String]
    var iterable: TemplateExpression
    var filter: TemplateExpression?
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
}

struct TemplateMacro: Sendable {
    var name: String
    var parameters: [(name: String, fallback: TemplateExpression?)]
    var body: [TemplateStatement]
}

extension TemplateExpression.Kind {
    fileprivate var children: [TemplateExpression] {
        switch self {
        case .literal, .name: []
        case .list(let items, _): items
        case .dictionary(let members): members.flatMap { [$0.key, $0.value] }
        case .attribute(let value, _), .not(let value), .negative(let value): [value]
        case .item(let left, let right), .binary(_, let left, let right), .and(let left, let right),
            .or(let left, let right):
            [left, right]
        case .slice(let value, let start, let end, let step): [value] + [start, end, step].compactMap { $0 }
        case .call(let value, let arguments), .filter(let value, _, let arguments), .test(let value, _, let arguments):
            [value] + TemplateExpression.parts(arguments)
        case .compare(let first, let operands): [first] + operands.map(\.operand)
        case .conditional(let value, let test, let otherwise): [value, test] + (otherwise.map { [$0] } ?? [])
        }
    }
}
