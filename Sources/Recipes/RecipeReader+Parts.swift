// Recipes made from other things than a file: a stored run with changes, or a verifier alone.

import Rollouts

extension RecipeReader {
    /// The same options with some keys changed, checked like a recipe.
    package static func apply(_ overrides: [String], to options: RunOptions) throws(RecipeError) -> RunOptions {
        try parse(yaml: render(options), file: "(resolved recipe)", overrides: overrides)
    }

    /// A verifier of a kind, with its keys set as `key=value` (without the leading `verifier.`).
    package static func verifier(kind: String, overrides: [String]) throws(RecipeError) -> VerifierOptions {
        var carrier = RunOptions()
        carrier.model.path = "none"
        var source = DataSource()
        source.task = "add_1digit"
        carrier.data.sources = [source]
        return try apply(["verifier.kind=\(kind)"] + overrides.map { "verifier." + $0 }, to: carrier).verifier
    }
}
