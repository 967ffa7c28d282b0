// From a recipe file to resolved options, and back.

import Foundation
import Rollouts

/// Reads recipes: YAML in, `RunOptions` out, every key checked.
package enum RecipeReader {
    /// No recipe is anywhere near this long; a model given by mistake is.
    static let byteLimit = 1 << 20

    /// - Parameter overrides: `key.path=value`, applied in order; the value is YAML.
    package static func load(path: String, overrides: [String]) throws(RecipeError) -> RunOptions {
        try parse(yaml: try text(ofFile: path), file: path, overrides: overrides)
    }

    /// - Parameter file: what messages call the recipe.
    package static func parse(yaml: String, file: String, overrides: [String]) throws(RecipeError) -> RunOptions {
        do {
            var root = try RecipeNode(yaml: yaml)
            for override in overrides { try root.apply(override: override) }
            var options = RunOptions()
            try RecipeTables.run.read(root, path: "", into: &options)
            try RecipeChecks(options: options, root: root).run()
            return options
        } catch {
            var named = error
            named.file = file
            throw named
        }
    }

    /// The resolved recipe as YAML: every key with its value, in the documented order.
    package static func render(_ options: RunOptions) -> String {
        RecipeTables.run.write(options).lines.joined(separator: "\n") + "\n"
    }

    /// Every key with what it takes, its default and its meaning, for a terminal or a document.
    package static var reference: String {
        RecipeTables.run.describe(path: "").map { key in
            // A section has no value of its own to show.
            let standard = key.standard == "section" ? "" : ", default \(key.standard)"
            return "\(key.path): \(key.form)\(standard)\n    \(key.meaning)\n"
        }.joined()
    }

    private static func text(ofFile path: String) throws(RecipeError) -> String {
        func failure(_ problem: String) -> RecipeError { RecipeError(file: path, at: .wholeFile, problem) }
        guard let file = fopen(path, "rb") else {
            let reason = String(cString: strerror(errno))
            throw failure("the recipe cannot be opened (\(reason)); the ones that come along are in cluster/recipes")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: byteLimit + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        guard ferror(file) == 0 else {
            throw failure("the recipe cannot be read: \(String(cString: strerror(errno)))")
        }
        guard count <= byteLimit else { throw failure("longer than \(byteLimit) bytes: this is no recipe") }
        guard let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw failure("is not UTF-8 text: this is no recipe")
        }
        return text
    }
}
