// Which kinds of values can a key have? Each kind reads, checks its range, and writes.

/// Which numbers a key takes.
struct NumberRange: Sendable {
    let text: String
    let contains: @Sendable (Double) -> Bool

    static func above(_ lower: Double) -> NumberRange { NumberRange(text: "number > \(short(lower))") { $0 > lower } }
    static func from(_ lower: Double) -> NumberRange { NumberRange(text: "number ≥ \(short(lower))") { $0 >= lower } }
    static func between(_ lower: Double, _ upper: Double) -> NumberRange {
        NumberRange(text: "number \(short(lower))…\(short(upper))") { $0 >= lower && $0 <= upper }
    }
    static func above(_ lower: Double, upTo upper: Double) -> NumberRange {
        NumberRange(text: "number > \(short(lower)), ≤ \(short(upper))") { $0 > lower && $0 <= upper }
    }
    static func from(_ lower: Double, below upper: Double) -> NumberRange {
        NumberRange(text: "number ≥ \(short(lower)), < \(short(upper))") { $0 >= lower && $0 < upper }
    }

    private static func short(_ bound: Double) -> String {
        bound == bound.rounded() && abs(bound) < 1e15 ? String(Int(bound)) : bound.description
    }
}

extension RecipeKey {
    typealias Path<Value> = WritableKeyPath<Root, Value> & Sendable

    private init(
        plain name: String, form: String, meaning: String,
        read: @escaping @Sendable (RecipeNode, inout Root) -> Bool, write: @escaping @Sendable (Root) -> RenderedValue
    ) {
        self.init(
            name: name, form: form, meaning: meaning,
            read: { (node, path, root) throws(RecipeError) in
                guard read(node, &root) else { throw RecipeKey.mismatch(node, path, form) }
            },
            write: write, inside: { _ in [] })
    }

    private static func mismatch(_ node: RecipeNode, _ path: String, _ form: String) -> RecipeError {
        var problem = "expected \(form), found \(node.found)"
        if form.hasPrefix("text") {
            if case .scalar = node.content {} else { problem += "; put text that YAML reads otherwise in quotes" }
        }
        return RecipeError(at: node.place, key: path, problem)
    }

    static func integer(
        _ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>, _ meaning: String
    ) -> RecipeKey {
        RecipeKey(plain: name, form: "integer \(range.lowerBound)…\(range.upperBound)", meaning: meaning) {
            guard let value = $0.plain.flatMap({ Int($0) }), range.contains(value) else { return false }
            $1[keyPath: path] = value
            return true
        } write: {
            .inline(String($0[keyPath: path]))
        }
    }

    static func unsigned(_ name: String, _ path: Path<UInt64>, _ meaning: String) -> RecipeKey {
        RecipeKey(plain: name, form: "integer 0…\(UInt64.max)", meaning: meaning) {
            guard let value = $0.plain.flatMap({ UInt64($0) }) else { return false }
            $1[keyPath: path] = value
            return true
        } write: {
            .inline(String($0[keyPath: path]))
        }
    }

    static func number(
        _ name: String, _ path: Path<Double>, _ range: NumberRange, _ meaning: String
    ) -> RecipeKey {
        RecipeKey(plain: name, form: range.text, meaning: meaning) {
            guard let value = $0.number, range.contains(value) else { return false }
            $1[keyPath: path] = value
            return true
        } write: {
            .number($0[keyPath: path])
        }
    }

    static func optionalNumber(
        _ name: String, _ path: Path<Double?>, _ range: NumberRange, _ meaning: String
    ) -> RecipeKey {
        RecipeKey(plain: name, form: "\(range.text), or null", meaning: meaning) {
            if $0.content == .null {
                $1[keyPath: path] = nil
                return true
            }
            guard let value = $0.number, range.contains(value) else { return false }
            $1[keyPath: path] = value
            return true
        } write: {
            $0[keyPath: path].map(RenderedValue.number) ?? .null
        }
    }

    static func flag(_ name: String, _ path: Path<Bool>, _ meaning: String) -> RecipeKey {
        RecipeKey(plain: name, form: "true or false", meaning: meaning) {
            guard let word = $0.plain, ["true", "false"].contains(word) else { return false }
            $1[keyPath: path] = word == "true"
            return true
        } write: {
            .inline($0[keyPath: path] ? "true" : "false")
        }
    }

    /// - Parameter restriction: what the form says beyond "text", and the test for it.
    static func text(
        _ name: String, _ path: Path<String>, _ meaning: String, _ restriction: TextRestriction = .none
    ) -> RecipeKey {
        RecipeKey(plain: name, form: "text\(restriction.text)", meaning: meaning) {
            guard let text = $0.text, restriction.allows(text) else { return false }
            $1[keyPath: path] = text
            return true
        } write: {
            .text($0[keyPath: path])
        }
    }

    static func optionalText(
        _ name: String, _ path: Path<String?>, _ meaning: String, _ restriction: TextRestriction = .none
    ) -> RecipeKey {
        RecipeKey(plain: name, form: "text\(restriction.text), or null", meaning: meaning) {
            if $0.content == .null {
                $1[keyPath: path] = nil
                return true
            }
            guard let text = $0.text, restriction.allows(text) else { return false }
            $1[keyPath: path] = text
            return true
        } write: {
            $0[keyPath: path].map(RenderedValue.text) ?? .null
        }
    }

    static func texts(_ name: String, _ path: Path<[String]>, _ meaning: String) -> RecipeKey {
        RecipeKey(plain: name, form: "list of non-empty texts", meaning: meaning) {
            guard case .sequence(let items) = $0.content else { return false }
            let texts = items.compactMap(\.text)
            guard texts.count == items.count, !texts.contains("") else { return false }
            $1[keyPath: path] = texts
            return true
        } write: {
            .texts($0[keyPath: path])
        }
    }

    static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ path: Path<Value>, _ meaning: String
    ) -> RecipeKey {
        let words = Value.allCases.map(\.rawValue)
        let form = words.count == 1 ? "`\(words[0])`" : "one of \(words.joined(separator: ", "))"
        return RecipeKey(plain: name, form: form, meaning: meaning) {
            guard let value = $0.text.flatMap(Value.init(rawValue:)) else { return false }
            $1[keyPath: path] = value
            return true
        } write: {
            .text($0[keyPath: path].rawValue)
        }
    }
}

extension RecipeKey {
    /// A list of words without repetition, at least one.
    static func choices<Value: RawRepresentable<String> & CaseIterable & Hashable & Sendable>(
        _ name: String, _ path: Path<[Value]>, _ meaning: String
    ) -> RecipeKey {
        let form = "list of one or more of \(Value.allCases.map(\.rawValue).joined(separator: ", "))"
        return RecipeKey(plain: name, form: form, meaning: meaning) {
            guard case .sequence(let items) = $0.content else { return false }
            let values = items.compactMap { $0.text.flatMap(Value.init(rawValue:)) }
            guard values.count == items.count, !values.isEmpty, Set(values).count == values.count else { return false }
            $1[keyPath: path] = values
            return true
        } write: {
            .texts($0[keyPath: path].map(\.rawValue))
        }
    }
}

/// What a text must be beyond being text.
struct TextRestriction: Sendable {
    let text: String
    let allows: @Sendable (String) -> Bool

    static let none = TextRestriction(text: "") { _ in true }
    static let nonEmpty = TextRestriction(text: " (not empty)") { !$0.isEmpty }
    /// A run's name becomes a folder's name.
    static let fileName = TextRestriction(text: " of 1…64 letters, digits, `-`, `_` or `.`, not starting with `.`") {
        name in
        (1...64).contains(name.utf8.count) && !name.hasPrefix(".")
            && name.utf8.allSatisfy { byte in
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.".utf8.contains(byte)
            }
    }
    static let holdsPrompt = TextRestriction(text: " with {prompt} in it") { $0.contains("{prompt}") }
}

// MARK: - Sections and lists

extension RecipeKey {
    static func section<Value>(
        _ name: String, _ path: Path<Value>, _ table: RecipeTable<Value>, _ meaning: String
    ) -> RecipeKey {
        RecipeKey(
            name: name, form: "section", meaning: meaning,
            read: { (node, keyPath, root) throws(RecipeError) in
                try table.read(node, path: keyPath, into: &root[keyPath: path])
            },
            write: { table.write($0[keyPath: path]) },
            inside: { table.describe(path: $0) })
    }

    /// A section that may be missing as a whole; `{}` asks for it with every default.
    static func optionalSection<Value>(
        _ name: String, _ path: Path<Value?>, _ table: RecipeTable<Value>, _ meaning: String
    ) -> RecipeKey {
        RecipeKey(
            name: name, form: "section, or null", meaning: meaning,
            read: { (node, keyPath, root) throws(RecipeError) in
                guard node.content != .null else {
                    root[keyPath: path] = nil
                    return
                }
                var value = table.standard()
                try table.read(node, path: keyPath, into: &value)
                root[keyPath: path] = value
            },
            write: { $0[keyPath: path].map(table.write) ?? .null },
            inside: { table.describe(path: $0) })
    }

    static func list<Element>(
        _ name: String, _ path: Path<[Element]>, _ table: RecipeTable<Element>, _ meaning: String
    ) -> RecipeKey {
        RecipeKey(
            name: name, form: "list of sections", meaning: meaning,
            read: { (node, keyPath, root) throws(RecipeError) in
                guard case .sequence(let items) = node.content else {
                    throw RecipeKey.mismatch(node, keyPath, "a list of sections (lines that start with `-`)")
                }
                var elements: [Element] = []
                for (index, item) in items.enumerated() {
                    var element = table.standard()
                    try table.read(item, path: "\(keyPath).\(index)", into: &element)
                    elements.append(element)
                }
                root[keyPath: path] = elements
            },
            write: { .list($0[keyPath: path].map(table.write)) },
            inside: { table.describe(path: "\($0).0") })
    }
}

// MARK: - Scalars

extension RecipeNode {
    /// An unquoted scalar.
    fileprivate var plain: String? {
        guard case .scalar(let text, quoted: false) = content else { return nil }
        return text
    }

    /// A finite number. Read by us, not by YAML's rules, which take `1e-5` for text.
    fileprivate var number: Double? {
        guard let value = plain.flatMap({ Double($0) }), value.isFinite else { return nil }
        return value
    }

    fileprivate var text: String? {
        guard case .scalar(let text, _) = content else { return nil }
        return text
    }
}
