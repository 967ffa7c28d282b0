// `cluster/chaos --namespaces`: a head and two invited workers on hosts of their own, each lost in turn.

import Foundation
import Rollouts
import Runtime

/// The workers see nothing of the head's folders: weights come and go over the encrypted blob socket. Each of the three
/// does something that nobody else does: the run stands still without it, however fast it is, and must go on after. In
/// the first round the workers' hosts are cut off, in the second they die and join again with the same token; the head
/// dies in both.
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
        ground.say("the run in three network namespaces: a head, a sampler that verifies, a learner")
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
                try hosts.joinAgain()
                ground.say("after step \(newest): it is there again")
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
                let place = counts.total % 3 - 1
                let name = namespaces.workers[place].name
                let time = ChaosGround.lease * (1.5 + dice.share())
                if counts.total / 3 % 2 == 0 {
                    try namespaces.cut(namespaces.workers[place])
                    counts.add(.partition)
                    ground.say(
                        String(format: "after step %d: %@ is cut off for %.1f s", newest, name, time.inSeconds))
                } else {
                    guard hosts.killWorker(place) else { continue }
                    counts.add(place == 0 ? .killRollout : .killLearner)
                    ground.say(
                        String(format: "after step %d: %@ is killed, for %.1f s", newest, name, time.inSeconds))
                }
                healAt = now + time
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
    /// Places of those that we killed and that have not joined again.
    private var killed: [Int] = []
    private var joins: [(name: String, command: [String])] = []
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
        for (worker, roles) in zip(namespaces.workers, ["rollout,verifier", "learner"]) {
            let token = try Command.output([
                ground.programs.coordinator, "invite", run, "--runs", ground.runs, "--role", roles, "--address",
                "tcp://\(worker.headAddress):\(port)",
            ]).trimmingCharacters(in: .whitespacesAndNewlines)
            let inside = NamespaceGround.inside(worker.namespace, hiding: ground.runs)
            let join = [
                ground.programs.worker, "join", token, "--threads", "1", "--key-file", "\(keys)/\(worker.name).key",
            ]
            joins.append((name: "worker-\(worker.name)", command: inside + join))
            workers.append(try ground.launch(joins[joins.count - 1].name, joins[joins.count - 1].command))
        }
    }

    /// One that ended other than with the run or by our hand.
    var failedWorker: OwnProcess? {
        workers.indices.first { !killed.contains($0) && !workers[$0].isRunning && !workers[$0].isContent }
            .map { workers[$0] }
    }

    /// - Returns: whether it was there to be killed.
    mutating func killWorker(_ place: Int) -> Bool {
        guard workers[place].signal(SIGKILL) else { return false }
        workers[place].waitForEnd(.seconds(10))
        guard workers[place].endedBySignal else { return false }
        killed.append(place)
        return true
    }

    /// The command that a person would give again, for each worker that was killed.
    mutating func joinAgain() throws(FaultInjectionError) {
        for place in killed { workers[place] = try ground.launch(joins[place].name, joins[place].command) }
        killed = []
    }

    /// - Returns: whether it was there to be killed.
    mutating func killHead() throws(FaultInjectionError) -> Bool {
        guard head.signal(SIGKILL) else { return false }
        head.waitForEnd(.seconds(10))
        guard head.endedBySignal else { return false }
        head = try ground.start(run, command + ["--resume"], inside: prefix)
        return true
    }
}
