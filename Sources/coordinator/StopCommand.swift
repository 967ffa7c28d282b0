// `coordinator stop`: a clean end that can be resumed.

import ArgumentParser
import Runtime

struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stop a running run as Ctrl-C does, and wait until it has ended.",
        discussion: """
            A checkpoint is saved, every worker is told to go, and `coordinator start … --resume` goes on from there.
            """)

    @Argument(help: ArgumentHelp("Name of the run.", valueName: "run"))
    var name: String

    @Flag(help: "At once and without a checkpoint: what was trained since the last one is trained again on resume.")
    var now = false

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try OperateJob(run: name, request: .stop(savesCheckpoint: !now), runs: runs).execute() }
    }
}
