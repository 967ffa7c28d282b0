// A compute host's program.

import ArgumentParser
import Compute
import Runtime

@main
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Work for a coordinator: sample completions, verify them, learn.",
        subcommands: [JoinCommand.self, InfoCommand.self])
}

struct JoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Join a run and take work until it ends. May join and leave at any time.",
        discussion: """
            A worker of another host joins with a token that `coordinator invite` printed; its key, made on first \
            use, is then known, and the same token with the same key file joins again. On the coordinator's own host \
            an address without encryption will do.

            Model and settings come from the coordinator. A lost connection is retried with growing pauses. Ctrl-C \
            leaves: the work in hand is given to others. \
            Exit status: 0 the run ended or the worker left, 1 it was refused.
            """)

    @Argument(
        help: ArgumentHelp(
            "A token, or an address of this host: tcp://127.0.0.1:PORT, ipc://PATH. Not with --token-file.",
            valueName: "token|address"))
    var target: String?

    @Option(help: "Read the token from this file: other users of a host see command lines.")
    var tokenFile: String?

    @Option(
        help: ArgumentHelp(
            "What to do here: any of rollout, verifier, learner, separated by commas. Default: what the invitation is "
                + "for, without one rollout,verifier."))
    var role: String?

    @Option(
        help: ArgumentHelp(
            "This worker's key, made when it is not there. Default: rookery/worker.key in $XDG_STATE_HOME or "
                + "~/.local/state."))
    var keyFile: String?

    @Option(help: "Compute threads. Default: all cores.")
    var threads: Int?

    @Flag(help: "Allow an address of another host: without encryption and keys.")
    var insecure = false

    @Flag(help: "Do not serve other workers the weights that this one has fetched.")
    var noRelay = false

    @Option(help: "Serve them on this port. Default: any that is free.")
    var relayPort: UInt16?

    @Option(help: .hidden)
    var coordinator: Int32?

    func validate() throws {
        if (target == nil) == (tokenFile == nil) {
            let found = target.map { "\($0)` and --token-file: give one of them" }
            throw ValidationError(found.map { "Found `" + $0 } ?? "Give a token, an address or --token-file.")
        }
        if noRelay, relayPort != nil { throw ValidationError("--no-relay and --relay-port contradict each other.") }
    }

    func run() throws {
        let threadCount = threads ?? WorkerProcess.coreCount
        do {
            let status = try WorkerProcess(
                target: try target ?? WorkerProcess.token(inFile: tokenFile ?? ""), roles: role, threads: threadCount,
                insecure: insecure, coordinator: coordinator, keyFile: keyFile,
                relay: noRelay ? nil : RelayPlan(port: relayPort ?? 0), kernel: EngineWorkbench.kernelName
            ) { EngineWorkbench(threadCount: threadCount) }.run()
            if status != 0 { throw ExitCode(status) }
        } catch let error as ExitCode {
            throw error
        } catch {
            Output.error("\(error)")
            throw ExitCode(1)
        }
    }
}

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Show what this host computes with.")

    func run() {
        print("cores    \(WorkerProcess.coreCount)")
        print("kernels  \(EngineWorkbench.kernelName)")
    }
}
