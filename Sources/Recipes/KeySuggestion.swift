// Which key did the writer of an unknown one mean?

enum KeySuggestion {
    /// "; did you mean …?" with the nearest key of the same section, or else of the others (the outermost), or else
    /// what the section knows.
    static func hint(for name: String, siblings: [String], section: String) -> String {
        let prefix = section.isEmpty ? "" : section + "."
        if let near = nearest(to: name, among: siblings) {
            return "; did you mean `\(prefix)\(near)`?"
        }
        let everywhere = RecipeTables.run.describe(path: "").map { $0.path.split(separator: ".").map(String.init) }
        if let near = nearest(to: name, among: everywhere.compactMap(\.last)) {
            let homes = everywhere.filter { $0.last == near }
            let depth = homes.map(\.count).min()
            let paths = homes.filter { $0.count == depth }.map { "`\($0.joined(separator: "."))`" }
            return "; did you mean \(paths.joined(separator: " or "))?"
        }
        return "; known here: \(siblings.joined(separator: ", "))"
    }

    /// The candidate with the smallest edit distance, the first of equals; nil when none is near.
    static func nearest(to name: String, among candidates: [String]) -> String? {
        let limit = max(1, name.count / 3)
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let distance = editDistance(Array(name.lowercased().utf8), Array(candidate.utf8))
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.candidate
    }

    /// Levenshtein distance. A name longer than any key counts as far without being compared.
    static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard left.count <= 64, right.count <= 64 else { return .max }
        var previous = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                let replaced = previous[column] + (byte == other ? 0 : 1)
                current.append(min(replaced, previous[column + 1] + 1, current[column] + 1))
            }
            previous = current
        }
        return previous[right.count]
    }
}
