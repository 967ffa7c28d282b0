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
            Model and settings come from the coordinator. A lost connection is retried with growing pauses. Ctrl-C \
            leaves: the work in hand is given to others. \
            Exit status: 0 the run ended or the worker left, 1 it was refused.
            """)

    @Argument(help: "The coordinator's address: tcp://HOST:PORT or ipc://PATH.")
    var address: String

    @Option(help: "What to do here: any of rollout, verifier, learner, separated by commas.")
    var role: String = "rollout,verifier"

    @Option(help: "Compute threads. Default: all cores.")
    var threads: Int?

    @Flag(help: "Allow an address that is not loopback: unencrypted.")
    var insecure = false

    @Flag(help: .hidden)
    var local = false

    func run() throws {
        let threadCount = threads ?? WorkerProcess.coreCount
        do {
            let status = try WorkerProcess(
                address: address, roles: role, threads: threadCount, insecure: insecure, local: local,
                kernel: EngineWorkbench.kernelName
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
