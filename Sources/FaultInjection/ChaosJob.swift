// `cluster/chaos`: the same recipe undisturbed and with faults; are the bits the same?

import Foundation
import Rollouts
import Runtime
import Transport

package struct ChaosJob {
    /// Without a new step for so long the run is taken for stuck.
    static let patience = Duration.seconds(120)
    /// Of the messages, so many meet something; and so many in all.
    private static let troubledShare = 0.03
    private static let troubledLimit = 60

    private let settings: ChaosSettings
    private let kinds: [FaultKind]
    private let workers: Int
    private let rounds: Int

    /// - Parameters:
    ///   - workers: rollout workers that join beside the coordinator's own.
    ///   - rounds: how often each kind of process fault comes.
    package init(_ settings: ChaosSettings, kinds: [FaultKind], workers: Int, rounds: Int) {
        self.settings = settings
        self.kinds = kinds
        self.workers = workers
        self.rounds = rounds
    }

    /// - Returns: the exit status: 0 only for the same bits under real faults.
    package func run() throws -> Int32 {
        let ground = try ChaosGround(settings)
        var isSame = false
        defer { ground.remove(keeping: !isSame && Signals.received == 0) }
        let undisturbed = try ground.runUndisturbed()
        let (counts, failure) = try disturb(ground)
        let verdict = ChaosVerdict(
            undisturbed, try ground.record(of: DisturbedCluster.run), counts: counts, failure: failure)
        isSame = verdict.isSame
        Output.line(verdict.line)
        return isSame ? 0 : 1
    }

    private func disturb(_ ground: ChaosGround) throws -> (FaultCounts, failure: String?) {
        ground.say("the disturbed run: \(workers) rollout workers, a verifier and the learner join")
        let proxy = try FaultProxy(
            listen: try Address("ipc://\(ground.folder)/join"),
            coordinator: try Address("ipc://\(ground.folder)/control"),
            weather: FrameWeather(
                seed: settings.seed, kinds: kinds, share: Self.troubledShare, longestDelay: ChaosGround.lease * 1.5,
                limit: Self.troubledLimit),
            wake: ground.wake)
        let cluster = try DisturbedCluster(
            ground, listen: "ipc://\(ground.folder)/control", join: "ipc://\(ground.folder)/join",
            rolloutWorkers: workers)
        defer { cluster.wakeAll() }
        let plan = FaultPlan(seed: settings.seed, kinds: kinds, rounds: rounds, steps: settings.steps)
        var conductor = Conductor(cluster, plan, ground, dice: Dice(seed: settings.seed, stream: 3))
        let failure = try conductor.run(through: proxy)
        var counts = conductor.counts
        counts.add(proxy.counts)
        if cluster.restartCount > 0 { ground.say("workers started again: \(cluster.restartCount)") }
        return (counts, failure)
    }
}

/// Carries out a plan while the run goes on.
private struct Conductor {
    private let cluster: DisturbedCluster
    private let ground: ChaosGround
    private var strikes: ArraySlice<FaultPlan.Strike>
    private var dice: Dice
    /// When the next strike falls, once its step is there.
    private var due: MonotonicTime?
    private(set) var counts = FaultCounts()

    init(_ cluster: DisturbedCluster, _ plan: FaultPlan, _ ground: ChaosGround, dice: Dice) {
        self.cluster = cluster
        self.ground = ground
        self.dice = dice
        strikes = plan.strikes[...]
    }

    /// - Returns: why the run did not end as it should; nil when it did.
    mutating func run(through proxy: FaultProxy) throws -> String? {
        let metrics = ground.metrics(of: DisturbedCluster.run)
        var newest = 0
        var lastStepAt = MonotonicTime.now
        var nextLook = MonotonicTime.now
        while cluster.coordinator.isRunning {
            try ground.checkInterruption()
            proxy.work(waitingAtMost: .milliseconds(1)) { MonotonicTime.now }
            let now = MonotonicTime.now
            guard now >= nextLook else { continue }
            nextLook = now + .milliseconds(5)
            try cluster.tend()
            let step = RunRecord.newestStep(path: metrics)
            if step > newest {
                newest = step
                lastStepAt = now
            }
            if now - lastStepAt > ChaosJob.patience {
                return "no step after \(newest) for \(Int(ChaosJob.patience.inSeconds)) s"
            }
            try strike(newest, at: now)
        }
        if !strikes.isEmpty { ground.say("the run was complete before \(strikes.count) more faults") }
        let status = cluster.coordinator.status
        return status == 0 ? nil : "the run ended with status \(status) after step \(newest)"
    }

    private mutating func strike(_ step: Int, at now: MonotonicTime) throws {
        guard let next = strikes.first, step >= next.step else { return }
        guard let due else { return self.due = now + next.pause }
        guard now >= due, let name = try inject(next) else { return }
        ground.say("after step \(step): \(next.kind.rawValue): \(name)")
        counts.add(next.kind)
        strikes.removeFirst()
        self.due = nil
    }

    /// - Returns: whom it hit; nil when there was nobody to hit yet.
    private mutating func inject(_ strike: FaultPlan.Strike) throws -> String? {
        switch strike.kind {
        case .killRollout: return hit(.rollout) { _, target in target.process.signal(SIGKILL) }
        case .killVerifier: return hit(.verifier) { _, target in target.process.signal(SIGKILL) }
        case .killLearner: return hit(.learner) { _, target in target.process.signal(SIGKILL) }
        case .stopRollout: return stop(.rollout, strike)
        case .stopVerifier: return stop(.verifier, strike)
        case .stopLearner: return stop(.learner, strike)
        case .killCoordinator: return try cluster.killCoordinator() ? "started again with --resume" : nil
        case .join:
            try cluster.add(.rollout)
            return "a rollout worker"
        case .leave: return cluster.leave(&dice)
        case .drop, .delay, .duplicate, .replay, .reorder, .corrupt, .partition:
            preconditionFailure("\(strike.kind) is not done to processes")
        }
    }

    private mutating func stop(_ role: WorkerRole, _ strike: FaultPlan.Strike) -> String? {
        let time = ChaosGround.lease * strike.leases
        return hit(role) { cluster, target in cluster.stop(target, for: time) }
            .map { String(format: "%@ for %.1f s", $0, time.inSeconds) }
    }

    private mutating func hit(
        _ role: WorkerRole, _ act: (DisturbedCluster, DisturbedCluster.Target) -> Bool
    ) -> String? {
        let targets = cluster.targets(role)
        guard !targets.isEmpty else { return nil }
        let target = targets[dice.integer(below: targets.count)]
        return act(cluster, target) ? target.name : nil
    }
}
