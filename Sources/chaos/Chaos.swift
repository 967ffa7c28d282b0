// Breaks a real cluster on purpose and says whether the result is the same.

import ArgumentParser
import FaultInjection
import Runtime

@main
struct Chaos: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Run a recipe undisturbed and again under faults, and compare the results bit for bit.",
        discussion: """
            Runs the recipe in a temporary folder, then again on a cluster of real processes that are killed, stopped \
            for longer than a lease, added and sent away, and whose messages are dropped, delayed, duplicated, \
            replayed, reordered and damaged. Then the weights' hash after every step, every number of metrics.jsonl \
            that is not a measured time, and every evaluation are compared.

            The seed decides which faults come after which steps, whom they hit, and what becomes of which message; \
            where inside a step they fall is up to the machine.

            Standard output is one line: `same` or `different`, both hashes, the faults by kind and count, and the \
            first difference. What happens meanwhile is said on standard error. Ctrl-C ends every process that was \
            started. After `different`, the folder with both runs and all logs is kept and named.

            Kinds of faults: kill-rollout, kill-verifier, kill-learner, kill-coordinator (kill -9; the coordinator is \
            started again with --resume), stop-rollout, stop-verifier, stop-learner (SIGSTOP for longer than a lease, \
            then SIGCONT), join, leave; drop, delay, duplicate, replay, reorder, corrupt. Families: all, processes, \
            messages, kill, stop.

            Exit status: 0 the same under real faults, 1 anything else.
            """)

    @Argument(help: "The recipe: a YAML file. With model.precision bfloat16, the default of the exact recipes.")
    var recipe: String

    @Option(help: "What is broken when.")
    var seed: UInt64 = 1

    @Option(help: "Kinds of faults, separated by commas.")
    var faults: String = "all"

    @Option(help: "Rollout workers that join beside the coordinator's own.")
    var workers: Int = 2

    @Option(help: "How often each kind of fault on processes comes.")
    var rounds: Int = 2

    @Option(help: "Steps of the run. Default: 80; with --coordinator-kills as many as kills, at least 20.")
    var steps: Int?

    @Option(help: "Sampling lags so many steps behind (schedule.lag). Default: as the recipe says.")
    var lag: Int?

    @Option(name: .customLong("set"), help: "Change one key of the recipe: key.path=value. May be given several times.")
    var overrides: [String] = []

    @Option(
        help: ArgumentHelp(
            "Instead of all that: kill -9 the coordinator and its workers at so many random points, resume each time, "
                + "and count what the run's store accepted and trained.", valueName: "n"))
    var coordinatorKills: Int?

    @Flag(
        help: ArgumentHelp(
            "Instead of all that: three network namespaces, a head and two invited workers, encrypted; each is lost in "
                + "turn. Takes root."))
    var namespaces = false

    @Flag(help: "Keep the folder with both runs and all logs.")
    var keep = false

    func validate() throws {
        if let steps, steps < 4 { throw ValidationError("--steps \(steps): give at least 4") }
        guard (1...64).contains(workers) else { throw ValidationError("--workers \(workers): give 1 to 64") }
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds \(rounds): give 1 to 100") }
        if let coordinatorKills, coordinatorKills < 1 { throw ValidationError("--coordinator-kills: give at least 1") }
        if coordinatorKills != nil, namespaces {
            throw ValidationError("--coordinator-kills and --namespaces are two tests: give one of them")
        }
    }

    func run() throws {
        do {
            let status = try perform()
            if status != 0 { throw ExitCode(status) }
        } catch let code as ExitCode {
            throw code
        } catch {
            Output.error("\(error)")
            throw ExitCode(1)
        }
    }

    private func perform() throws -> Int32 {
        func settings(steps standard: Int) -> ChaosSettings {
            ChaosSettings(
                recipe: recipe, seed: seed, steps: steps ?? standard, lag: lag, overrides: overrides, keeps: keep)
        }
        if let coordinatorKills {
            return try JournalJob(settings(steps: max(20, coordinatorKills * 3 / 2)), kills: coordinatorKills).run()
        }
        if namespaces { return try NamespaceJob(settings(steps: 80)).run() }
        let kinds = try FaultKind.parse(faults)
        return try ChaosJob(settings(steps: 80), kinds: kinds, workers: workers, rounds: rounds).run()
    }
}
