// `coordinator status`: how a run stands.

import ArgumentParser
import Runtime

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how a run stands: step, phase, workers, last metrics and faults.")

    @Argument(help: ArgumentHelp("Name of the run. Default: the newest.", valueName: "run"))
    var name: String?

    @Flag(help: "One JSON object instead of text.")
    var json = false

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try StatusJob(name: name, json: json, runs: runs).run() }
    }
}
