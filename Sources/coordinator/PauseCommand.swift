// `coordinator pause`: let a run stand still.

import ArgumentParser
import Runtime

struct PauseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Pause a running run: nothing new is given out, what is in flight completes.",
        discussion: """
            The coordinator and its workers stay, and `coordinator status` says that the run is paused and why; \
            `coordinator resume` goes on. A pause changes nothing of the result. Exit status: 1 when the run is not \
            running or does not do it.
            """)

    @Argument(help: ArgumentHelp("Name of the run.", valueName: "run"))
    var name: String

    @Option(help: "Why, for the log and the status.")
    var reason: String?

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try OperateJob(run: name, request: .pause(reason: reason), runs: runs).execute() }
    }
}
