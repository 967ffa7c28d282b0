// `coordinator drain`: take one worker out of a run.

import ArgumentParser
import Runtime

struct DrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Let a worker leave a running run: no new work, its leases are finished, then it ends.",
        discussion: """
            The worker ends with status 0 and the run goes on without it; a learner leaves a checkpoint behind. A \
            local worker is not started again. The run remembers it when the coordinator is started again; a worker \
            that is started again by hand is another process and welcome. WORKER is a name from `coordinator status`, \
            or one from `coordinator workers`, which means all processes of that worker.
            """)

    @Argument(help: ArgumentHelp("Name of the run.", valueName: "run"))
    var name: String

    @Argument(help: "The worker's name.")
    var worker: String

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try OperateJob(run: name, request: .drain(worker: worker), runs: runs).execute() }
    }
}
