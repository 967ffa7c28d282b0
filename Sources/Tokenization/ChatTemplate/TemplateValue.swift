// What can a variable of a chat template be?

/// A value of the template language, with Python's meaning.
indirect enum TemplateValue: Sendable {
    /// A name, key or attribute that is not there.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case text(TemplateText)
    case list(TemplateList)
    case dictionary(TemplateDictionary)
    /// Places in the evaluator's own tables, so that values never form a cycle.
    case namespace(Int)
    case macro(Int)
    case loop(Int)
    case function(TemplateFunction)

    static func string(_ string: String) -> TemplateValue { .text(TemplateText(string)) }

    /// Lists within lists; 0 for a value that holds no others.
    var depth: Int {
        switch self {
        case .list(let list): list.depth
        case .dictionary(let dictionary): dictionary.depth
        default: 0
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let list): !list.items.isEmpty
        case .dictionary(let dictionary): !dictionary.keys.isEmpty
        case .namespace, .macro, .loop, .function: true
        }
    }

    /// For error messages.
    var typeName: String {
        switch self {
        case .undefined(let name): "`\(name)`, which is not defined"
        case .none: "none"
        case .bool: "a truth value"
        case .integer, .float: "a number"
        case .text: "a string"
        case .list: "a list"
        case .dictionary: "a mapping"
        case .namespace: "a namespace"
        case .macro: "a macro"
        case .loop: "the loop variable"
        case .function: "a function"
        }
    }

    /// Numbers and truth values, as Python counts with them.
    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    var integerValue: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }
}

enum TemplateFunction: String, Sendable {
    case range, namespace, dict
    case raiseException = "raise_exception"
    case strftimeNow = "strftime_now"
}

struct TemplateList: Sendable {
    /// Deeper nesting is refused, so that walking a value never runs out of stack.
    static let depthLimit = 64

    let items: [TemplateValue]
    /// Python's tuple: printed in round brackets, and never equal to a list.
    let isTuple: Bool
    let depth: Int

    init(_ items: [TemplateValue], isTuple: Bool = false) {
        self.items = items
        self.isTuple = isTuple
        depth = 1 + (items.lazy.map(\.depth).max() ?? 0)
    }
}

/// Keys in the order in which they were put in. Small: looked up one by one.
struct TemplateDictionary: Sendable {
    let keys: [TemplateValue]
    let values: [TemplateValue]
    let depth: Int

    /// - Precondition: as many keys as values, no key twice.
    init(keys: [TemplateValue], values: [TemplateValue]) {
        precondition(keys.count == values.count, "\(keys.count) keys, \(values.count) values")
        self.keys = keys
        self.values = values
        depth = 1 + (values.lazy.map(\.depth).max() ?? 0)
    }

    init(_ members: [(String, TemplateValue)]) {
        self.init(keys: members.map { .string($0.0) }, values: members.map(\.1))
    }

    subscript(key: TemplateText) -> TemplateValue? {
        for (index, candidate) in keys.enumerated() {
            if case .text(let text) = candidate, text == key { return values[index] }
        }
        return nil
    }
}
