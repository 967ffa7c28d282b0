// What describes one key of a recipe: the one description that reading, rendering, suggestions and the reference share.

/// One key (or one section, or one list) of options of type `Root`.
struct RecipeKey<Root>: Sendable {
    let name: String
    /// What may stand there: "integer 2…1024", "one of a, b".
    let form: String
    /// One line.
    let meaning: String
    /// Reads the value at `path` (dotted, this key included) into the options.
    let read: @Sendable (_ node: RecipeNode, _ path: String, inout Root) throws(RecipeError) -> Void
    let write: @Sendable (Root) -> RenderedValue
    /// The keys inside this one, described with their defaults; empty for a plain value.
    let inside: @Sendable (_ path: String) -> [KeyDescription]
}

/// A key as the reference and the suggestions know it.
struct KeyDescription: Equatable {
    /// Dotted; a list's items are written `sources.0`.
    var path: String
    var form: String
    var standard: String
    var meaning: String
}

/// The keys of one section, in the documented order.
struct RecipeTable<Root>: Sendable {
    let keys: [RecipeKey<Root>]
    /// The options with every default.
    let standard: @Sendable () -> Root

    init(_ standard: @escaping @Sendable () -> Root, _ keys: [RecipeKey<Root>]) {
        self.standard = standard
        self.keys = keys
    }

    /// Reads a section. Nothing at all leaves every default.
    func read(_ node: RecipeNode, path: String, into root: inout Root) throws(RecipeError) {
        let entries: [RecipeNode.Entry]
        switch node.content {
        case .null: entries = []
        case .mapping(let found): entries = found
        case .scalar, .sequence:
            throw RecipeError(at: node.place, key: path, "expected a section of keys, found \(node.found)")
        }
        for entry in entries {
            let entryPath = path.isEmpty ? entry.name : "\(path).\(entry.name)"
            guard let key = keys.first(where: { $0.name == entry.name }) else {
                let hint = KeySuggestion.hint(for: entry.name, siblings: keys.map(\.name), section: path)
                throw RecipeError(at: entry.place, key: entryPath, "unknown key\(hint)")
            }
            try key.read(entry.value, entryPath, &root)
        }
    }

    func write(_ root: Root) -> RenderedValue {
        .section(keys.map { ($0.name, $0.write(root)) })
    }

    func describe(path: String) -> [KeyDescription] {
        let root = standard()
        return keys.flatMap { key in
            let keyPath = path.isEmpty ? key.name : "\(path).\(key.name)"
            let inside = key.inside(keyPath)
            let standard = key.write(root).inline ?? "section"
            return [KeyDescription(path: keyPath, form: key.form, standard: standard, meaning: key.meaning)] + inside
        }
    }
}
