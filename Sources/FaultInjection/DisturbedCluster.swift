// The processes of a run that is disturbed: who is there, who is stopped, who must be started again.

import Foundation
import Rollouts

/// A coordinator with local workers, and workers that joined through the proxy. Whoever does not end as it should is
/// started again, as a service manager would.
final class DisturbedCluster {
    private struct Member {
        var role: WorkerRole
        var process: OwnProcess
    }
    private struct Stopped {
        var process: ProcessIdentity
        var name: String
        var until: ContinuousClock.Instant
    }
    /// A process that can be struck.
    struct Target {
        var name: String
        var process: ProcessIdentity
    }

    static let run = "disturbed"
    private let ground: ChaosGround
    private let listen: String
    private let join: String
    private(set) var coordinator: OwnProcess
    private var members: [Member] = []
    private var stopped: [Stopped] = []
    private var joinedCount = 0
    private(set) var restartCount = 0

    /// - Parameters:
    ///   - listen: where the coordinator listens.
    ///   - join: where workers connect.
    init(_ ground: ChaosGround, listen: String, join: String, rolloutWorkers: Int) throws(FaultInjectionError) {
        self.ground = ground
        self.listen = listen
        self.join = join
        coordinator = try ground.start(Self.run, DisturbedCluster.options(listen))
        for _ in 0..<rolloutWorkers { try add(.rollout) }
        try add(.verifier)
        try add(.learner)
    }

    private static func options(_ listen: String) -> [String] {
        ["--listen", listen, "--local", "rollout=1,verifier=1"]
    }

    func add(_ role: WorkerRole) throws(FaultInjectionError) {
        joinedCount += 1
        members.append(Member(role: role, process: try launch("\(role.rawValue)-\(joinedCount)", role)))
    }

    private func launch(_ name: String, _ role: WorkerRole) throws(FaultInjectionError) -> OwnProcess {
        try ground.launch(
            name, [ground.programs.worker, "join", join, "--role", role.rawValue, "--threads", "1"])
    }

    /// Running workers of a role, joined and local ones, without those that are stopped.
    func targets(_ role: WorkerRole) -> [Target] {
        var found = members.filter { $0.role == role && $0.process.isRunning }.compactMap { member in
            member.process.identity.map { Target(name: member.process.name, process: $0) }
        }
        for child in coordinator.identity?.children ?? [] where child.arguments.contains(role.rawValue) {
            found.append(Target(name: "local \(role.rawValue)", process: child))
        }
        return found.filter { target in !stopped.contains { $0.process == target.process } }
    }

    func stop(_ target: Target, for time: Duration) -> Bool {
        guard target.process.signal(SIGSTOP) else { return false }
        stopped.append(Stopped(process: target.process, name: target.name, until: ContinuousClock.now + time))
        return true
    }

    /// Asks a joined rollout worker to leave; it is not started again.
    func leave(_ dice: inout Dice) -> String? {
        let able = members.indices.filter { index in
            members[index].role == .rollout && members[index].process.isRunning
                && !stopped.contains { $0.process == members[index].process.identity }
        }
        guard !able.isEmpty else { return nil }
        let member = members.remove(at: able[dice.integer(below: able.count)])
        return member.process.signal(SIGTERM) ? member.process.name : nil
    }

    /// - Returns: whether it was there to be killed.
    func killCoordinator() throws(FaultInjectionError) -> Bool {
        guard coordinator.signal(SIGKILL) else { return false }
        coordinator.waitForEnd(.seconds(10))
        guard coordinator.endedBySignal else { return false }
        coordinator = try ground.start(Self.run, DisturbedCluster.options(listen) + ["--resume"])
        return true
    }

    /// Lets those go on whose stop is over, and starts those again that ended.
    func tend() throws(FaultInjectionError) {
        let now = ContinuousClock.now
        for pause in stopped where pause.until <= now && pause.process.signal(SIGCONT) {
            ground.say("\(pause.name) goes on")
        }
        stopped.removeAll { $0.until <= now }
        guard coordinator.isRunning else { return }
        for index in members.indices where !members[index].process.isRunning && !members[index].process.isContent {
            members[index].process = try launch(members[index].process.name, members[index].role)
            restartCount += 1
        }
    }

    /// Nobody stays stopped for ever, whatever becomes of us.
    func wakeAll() {
        for pause in stopped { pause.process.signal(SIGCONT) }
        stopped = []
    }
}
