// `coordinator plan`: the resolved recipe.

import Recipes

package struct PlanJob {
    var recipe: String?
    var overrides: [String]

    /// - Parameter recipe: nil lists every key.
    package init(recipe: String?, overrides: [String]) {
        self.recipe = recipe
        self.overrides = overrides
    }

    package func run() throws -> Int32 {
        if let recipe {
            Output.text(RecipeReader.render(try RecipeReader.load(path: recipe, overrides: overrides)))
        } else {
            Output.text(RecipeReader.reference)
        }
        return 0
    }
}
