// `cluster/chaos --namespaces`: a head and two invited workers on hosts of their own, each lost in turn.

import Foundation
import Rollouts
import Runtime

/// The workers see nothing of the head's folders: weights come and go over the encrypted blob socket. Each of the three
/// does something that nobody else does: the run stands still without it, however fast it is, and must go on after.
package struct NamespaceJob {
    private static let run = "apart"
    private static let port = 5555
    /// How often each of the three is lost.
    private static let rounds = 2

    private let settings: ChaosSettings

    package init(_ settings: ChaosSettings) { self.settings = settings }

    /// - Returns: the exit status: 0 only for the same bits after every loss.
    package func run() throws -> Int32 {
        let namespaces = try NamespaceGround()
        defer { namespaces.tearDown() }
        let ground = try ChaosGround(settings)
        var isSame = false
        defer { ground.remove(keeping: !isSame && Signals.received == 0) }
        let undisturbed = try ground.runUndisturbed()
        ground.say("the run in three network namespaces: a head, a sampler that learns, a sampler that verifies")
        var hosts = try Hosts(ground, namespaces, run: Self.run, port: Self.port)
        let (counts, failure) = try lose(&hosts, ground, namespaces)
        var verdict = ChaosVerdict(
            undisturbed, try ground.record(of: Self.run), counts: counts, failure: failure)
        let planned = 3 * Self.rounds
        if verdict.difference == nil, counts.total < planned {
            verdict.difference = "the run was complete after \(counts.total) of \(planned) losses: give more --steps"
        }
        isSame = verdict.isSame
        Output.line(verdict.line)
        return isSame ? 0 : 1
    }

    /// One after the other, round and round, evenly over the run's steps.
    private func lose(
        _ hosts: inout Hosts, _ ground: ChaosGround, _ namespaces: NamespaceGround
    ) throws -> (FaultCounts, failure: String?) {
        var dice = Dice(seed: settings.seed, stream: 5)
        var counts = FaultCounts()
        let planned = 3 * Self.rounds
        var newest = 0
        /// The next is lost when the run has gone on from the one before.
        var newestAtLoss = 0
        var lastStepAt = ContinuousClock.now
        var healAt: ContinuousClock.Instant?
        while hosts.head.isRunning {
            try ground.checkInterruption()
            _ = ground.wake.wait(timeout: .milliseconds(5))
            let now = ContinuousClock.now
            let step = RunRecord.newestStep(path: ground.metrics(of: Self.run))
            if step > newest { (newest, lastStepAt) = (step, now) }
            if now - lastStepAt > ChaosJob.patience {
                return (counts, "no step after \(newest) for \(Int(ChaosJob.patience.inSeconds)) s")
            }
            if let worker = hosts.failedWorker {
                return (counts, "\(worker.name) ended with status \(worker.status): see `\(worker.log)`")
            }
            if let due = healAt {
                guard now >= due else { continue }
                for worker in namespaces.workers { try namespaces.heal(worker) }
                ground.say("after step \(newest): connected again")
                healAt = nil
            }
            let next = (settings.steps - 3) * counts.total / planned
            guard counts.total < planned, newest >= next, newest > newestAtLoss else { continue }
            newestAtLoss = newest
            if counts.total % 3 == 0 {
                guard try hosts.killHead() else { continue }
                counts.add(.killCoordinator)
                ground.say("after step \(newest): the head is killed and started again with --resume")
            } else {
                let worker = namespaces.workers[counts.total % 3 - 1]
                try namespaces.cut(worker)
                counts.add(.partition)
                let time = ChaosGround.lease * (1.5 + dice.share())
                healAt = now + time
                ground.say(
                    String(format: "after step %d: %@ is cut off for %.1f s", newest, worker.name, time.inSeconds))
            }
        }
        let status = hosts.head.status
        return (counts, status == 0 ? nil : "the run ended with status \(status) after step \(newest)")
    }
}

/// The processes on the three hosts.
private struct Hosts {
    private(set) var head: OwnProcess
    private var workers: [OwnProcess] = []
    private let ground: ChaosGround
    private let run: String
    private let command: [String]
    private let prefix: [String]

    init(_ ground: ChaosGround, _ namespaces: NamespaceGround, run: String, port: Int) throws(FaultInjectionError) {
        self.ground = ground
        self.run = run
        command = ["--listen", "tcp://0.0.0.0:\(port)", "--local", "none"]
        prefix = NamespaceGround.inside(namespaces.head)
        let keys = ground.folder + "/keys"
        guard mkdir(keys, 0o700) == 0 else { throw FaultInjectionError("cannot make the folder `\(keys)`") }
        head = try ground.start(run, command, inside: prefix)
        for (worker, roles) in zip(namespaces.workers, ["rollout,learner", "rollout,verifier"]) {
            let token = try Command.output([
                ground.programs.coordinator, "invite", run, "--runs", ground.runs, "--role", roles, "--address",
                "tcp://\(worker.headAddress):\(port)",
            ]).trimmingCharacters(in: .whitespacesAndNewlines)
            workers.append(
                try ground.launch(
                    "worker-\(worker.name)",
                    NamespaceGround.inside(worker.namespace, hiding: ground.runs) + [
                        ground.programs.worker, "join", token, "--threads", "1", "--key-file",
                        "\(keys)/\(worker.name).key",
                    ]))
        }
    }

    /// Nobody kills these: what ends other than with the run is a failure.
    var failedWorker: OwnProcess? { workers.first { !$0.isRunning && !$0.isContent } }

    /// - Returns: whether it was there to be killed.
    mutating func killHead() throws(FaultInjectionError) -> Bool {
        guard head.signal(SIGKILL) else { return false }
        head.waitForEnd(.seconds(10))
        guard head.endedBySignal else { return false }
        head = try ground.start(run, command + ["--resume"], inside: prefix)
        return true
    }
}
