// `coordinator plan`: what a recipe means, without running it.

import ArgumentParser
import Runtime

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Print the resolved recipe, every key with its value, and exit.")

    @Argument(help: "The recipe: a YAML file. Not needed with --keys.")
    var recipe: String?

    @Option(name: .customLong("set"), help: "Change one key: key.path=value. May be given several times.")
    var overrides: [String] = []

    @Flag(help: "List every key a recipe can have, with its type, default and meaning.")
    var keys = false

    func validate() throws {
        if recipe == nil && !keys { throw ValidationError("Give a recipe, or --keys.") }
    }

    func run() throws {
        try runOrExplain { try PlanJob(recipe: keys ? nil : recipe, overrides: overrides).run() }
    }
}
