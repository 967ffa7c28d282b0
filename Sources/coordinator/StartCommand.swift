// `coordinator start`: run a recipe.

import ArgumentParser
import Runtime

struct StartCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Run a recipe: sample, verify, learn, publish, until its steps are done.",
        discussion: """
            Ctrl-C stops after saving a checkpoint; --resume goes on from there. A second Ctrl-C stops at once.

            Exit status: 0 the run is complete, 2 interrupted (resume goes on), 1 it could not go on.
            """)

    @Argument(help: "The recipe: a YAML file.")
    var recipe: String

    @Option(help: "Name of the run; its files are in runs/NAME. Default: the recipe's name.")
    var name: String?

    @Option(name: .customLong("set"), help: "Change one key of the recipe: key.path=value. May be given several times.")
    var overrides: [String] = []

    @Option(help: "Workers to start here: rollout=N,verifier=N,learner=N, or none. Default: as the recipe says.")
    var local: String?

    @Option(
        help: ArgumentHelp(
            "Also listen for workers of other hosts: tcp://ADDRESS:PORT. May be given several times. Encrypted, and "
                + "open only to workers with an invitation, unless every address is loopback."))
    var listen: [String] = []

    @Flag(help: "Go on with the run of this name from its newest checkpoint.")
    var resume = false

    @Flag(help: "Encrypt loopback addresses too, and admit only workers with an invitation (coordinator invite).")
    var encrypt = false

    @Flag(help: "Listen without encryption or keys, whatever the address: open to anyone who can reach it.")
    var insecure = false

    @Flag(help: "Plain lines instead of the live view, even on a terminal.")
    var plain = false

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain {
            try StartJob(
                recipe: recipe, name: name, overrides: overrides, local: local, listen: listen, resume: resume,
                encrypt: encrypt, insecure: insecure, plain: plain, runs: runs
            ).run()
        }
    }
}
