// `coordinator resume`: let a paused run go on.

import ArgumentParser
import Runtime

struct ResumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Go on with a paused run.",
        discussion: """
            After `coordinator pause`, or after a pause of the run itself once its reason is mended. A run that is not \
            running goes on with `coordinator start … --resume`.
            """)

    @Argument(help: ArgumentHelp("Name of the run.", valueName: "run"))
    var name: String

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try OperateJob(run: name, request: .resume, runs: runs).execute() }
    }
}
