// `coordinator workers`: who was let into a run.

import ArgumentParser
import Runtime

struct WorkersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workers",
        abstract: "List the workers of other hosts that were admitted to a run, or revoke one.",
        discussion: """
            --revoke refuses the worker's key from then on; a running coordinator gives its work to others within a \
            second. A new invitation lets it in again.
            """)

    @Argument(help: ArgumentHelp("Name of the run.", valueName: "run"))
    var name: String

    @Option(help: ArgumentHelp("Do not let this worker in any more.", valueName: "name"))
    var revoke: String?

    @Flag(help: "One JSON object instead of text.")
    var json = false

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try WorkersJob(run: name, revoke: revoke, json: json, runs: runs).execute() }
    }
}
