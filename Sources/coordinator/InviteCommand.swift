// `coordinator invite`: let workers of other hosts in.

import ArgumentParser
import Runtime

struct InviteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite",
        abstract: "Print a token with which one worker of another host can join a run.",
        discussion: """
            A token is used once and in time: `worker join TOKEN`. It names the coordinator's key, so that the worker \
            joins nobody else, and after it the worker's own key is known: `coordinator workers` lists and revokes. \
            Works while the run is going and, with --address, before it starts.
            """)

    @Argument(help: ArgumentHelp("Name of the run.", valueName: "run"))
    var name: String

    @Option(help: "What the worker may do: any of rollout, verifier, learner, separated by commas.")
    var role: String = "rollout,verifier"

    @Option(help: "How long the token can be used: a number and s, m, h or d.")
    var expires: String = "1h"

    @Option(help: "How many tokens: one for each worker.")
    var count: Int = 1

    @Option(
        help: ArgumentHelp(
            "The run's --listen address as workers reach it: tcp://HOST:PORT. May be given several times. Default: as "
                + "the coordinator listens, with this host's name for every interface."))
    var address: [String] = []

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain {
            try InviteJob(
                run: name, roles: role, expires: expires, count: count, addresses: address, runs: runs
            ).execute()
        }
    }
}
