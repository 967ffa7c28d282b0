// What does a recipe's YAML say, and where: a small tree in which every value knows its place. Yams stops here.

import Yams

struct RecipeNode: Equatable {
    enum Content: Equatable {
        case null
        case scalar(String, quoted: Bool)
        case sequence([RecipeNode])
        case mapping([Entry])
    }
    struct Entry: Equatable {
        var name: String
        /// Of the name, not of the value.
        var place: RecipeError.Place
        var value: RecipeNode
    }
    var content: Content
    var place: RecipeError.Place

    /// What a message says was found.
    var found: String {
        switch content {
        case .null: "nothing"
        case .scalar(let text, let quoted): quoted ? "the text \"\(clipped(text))\"" : "`\(clipped(text))`"
        case .sequence: "a list"
        case .mapping: "a section"
        }
    }

    /// The place of the value at this dotted path, or of its nearest ancestor that the recipe names.
    func place(of path: String) -> RecipeError.Place {
        var node = self
        var best = place
        for component in path.split(separator: ".") {
            switch node.content {
            case .mapping(let entries):
                guard let entry = entries.first(where: { $0.name == component }) else { return best }
                best = entry.place
                node = entry.value
            case .sequence(let items):
                guard let index = Int(component), items.indices.contains(index) else { return best }
                best = items[index].place
                node = items[index]
            case .null, .scalar:
                return best
            }
        }
        return best
    }

    private func clipped(_ text: String) -> String {
        let line = text.replacing("\n", with: "⏎")
        return line.count <= 40 ? line : line.prefix(39) + "…"
    }
}

// MARK: - From YAML

extension RecipeNode {
    /// - Parameter override: the whole text of the `--set` that `yaml` is the value of; nil for a file.
    init(yaml: String, override: String? = nil) throws(RecipeError) {
        let place: (Mark?) -> RecipeError.Place = { mark in
            if let override { return .override(override) }
            guard let mark else { return .wholeFile }
            return .line(mark.line, column: mark.column)
        }
        if let problem = RecipeSize.problem(in: yaml) {
            let there = RecipeError.Place.line(problem.line, column: problem.column)
            throw RecipeError(at: override.map(RecipeError.Place.override) ?? there, problem.text)
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: yaml)
        } catch let error as YamlError {
            throw RecipeNode.problem(error, place: place)
        } catch {
            throw RecipeError(at: place(nil), "cannot be read as YAML: \(error)")
        }
        if let root {
            self = try RecipeNode(root, place: place)
        } else {
            let start = RecipeError.Place.line(1, column: 1)
            self.init(content: .null, place: override.map(RecipeError.Place.override) ?? start)
        }
    }

    private init(_ node: Node, place: (Mark?) -> RecipeError.Place) throws(RecipeError) {
        self.place = place(node.mark)
        switch node {
        case .scalar(let scalar):
            let quoted = scalar.style != .plain && scalar.style != .any
            let isNull = !quoted && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
            content = isNull ? .null : .scalar(scalar.string, quoted: quoted)
        case .sequence(let sequence):
            var items: [RecipeNode] = []
            for item in sequence { items.append(try RecipeNode(item, place: place)) }
            content = .sequence(items)
        case .mapping(let mapping):
            var entries: [Entry] = []
            for (name, value) in mapping {
                guard case .scalar(let scalar) = name else {
                    throw RecipeError(at: place(name.mark), "a key must be a word, not a list or a section")
                }
                entries.append(
                    Entry(
                        name: scalar.string, place: place(name.mark), value: try RecipeNode(value, place: place)))
            }
            content = .mapping(entries)
        case .alias:
            throw RecipeError(at: place(node.mark), "an alias that names no anchor")
        }
    }

    private static func problem(_ error: YamlError, place: (Mark?) -> RecipeError.Place) -> RecipeError {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let setting = context.map { " (\($0.text))" } ?? ""
            return RecipeError(at: place(mark), "not valid YAML: \(problem)\(setting)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.sorted().map { "`\($0)`" }.joined(separator: ", ")
            return RecipeError(at: place(context.mark), "\(names) is given twice in the same section: keep one")
        case .reader(let problem, let offset, _, _):
            let position = offset.map { " at character \($0)" } ?? ""
            return RecipeError(at: place(nil), "not valid YAML: \(problem)\(position)")
        default:
            return RecipeError(at: place(nil), "cannot be read as YAML: \(error)")
        }
    }
}

// MARK: - Overrides

extension RecipeNode {
    /// Sets one value, making the sections on its way: `rollout.group_size=4`, `data.sources.0.weight=2`. Nothing after
    /// the `=` is an empty text, as in a shell.
    mutating func apply(override: String) throws(RecipeError) {
        guard let equals = override.firstIndex(of: "=") else {
            throw RecipeError(at: .override(override), "expected key.path=value")
        }
        let path = override[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard !path.contains("") else {
            throw RecipeError(at: .override(override), "expected key.path=value, found an empty name in the path")
        }
        let text = String(override[override.index(after: equals)...])
        let emptyText = RecipeNode(content: .scalar("", quoted: true), place: .override(override))
        let value = text.isEmpty ? emptyText : try RecipeNode(yaml: text, override: override)
        try set(path[...], to: value, override: override)
    }

    private mutating func set(_ path: ArraySlice<String>, to value: RecipeNode, override: String) throws(RecipeError) {
        guard let name = path.first else {
            self = value
            return
        }
        let rest = path.dropFirst()
        switch content {
        case .null:
            content = .mapping([])
            try set(path, to: value, override: override)
        case .mapping(var entries):
            let index = entries.firstIndex { $0.name == name } ?? entries.count
            if index == entries.count {
                let empty = RecipeNode(content: .null, place: value.place)
                entries.append(Entry(name: name, place: value.place, value: empty))
            }
            try entries[index].value.set(rest, to: value, override: override)
            entries[index].place = value.place
            content = .mapping(entries)
        case .sequence(var items):
            guard let index = Int(name), index >= 0, index <= items.count else {
                throw RecipeError(
                    at: value.place,
                    "`\(name)` is no place in a list of \(items.count) (0…\(items.count); the last adds one)")
            }
            if index == items.count { items.append(RecipeNode(content: .null, place: value.place)) }
            try items[index].set(rest, to: value, override: override)
            content = .sequence(items)
        case .scalar:
            throw RecipeError(at: value.place, "there is no `\(name)` inside \(found)")
        }
    }
}
