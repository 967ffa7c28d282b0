// What can be wrong with a recipe: one line that names the file, the place, the key and the way out.

/// A recipe that cannot be used.
package struct RecipeError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Place: Equatable, Sendable {
        case wholeFile
        /// Both from 1.
        case line(Int, column: Int)
        /// The text of a `--set` override.
        case override(String)
    }

    /// Path of the recipe as it was given.
    package var file: String
    package var place: Place
    /// Dotted path, "" when no single key is at fault.
    package var key: String
    package var problem: String

    init(file: String = "", at place: Place, key: String = "", _ problem: String) {
        self.file = file
        self.place = place
        self.key = key
        self.problem = problem
    }

    package var description: String {
        let subject = key.isEmpty ? "" : "\(key): "
        return switch place {
        case .wholeFile: "\(file): \(subject)\(problem)"
        case .line(let line, let column): "\(file):\(line):\(column): \(subject)\(problem)"
        case .override(let text): "--set \(text): \(subject)\(problem)"
        }
    }
}
