// One worker process of the simulation: the real worker's core over a scripted shell.

import Cluster
import Rollouts

/// The shell does one thing at a time, in the order asked. What it does is scripted; what it holds (policy, learner) is
/// changed only by what the core asked for. A class, so that nobody copies its core by accident.
final class SimulatedWorker {
    enum Step: Sendable {
        case load(PolicyManifest)
        case restartLearner(PolicyManifest)
        case work(LeaseIdentifier, WorkOrder)
        case progress(LeaseIdentifier, unitsDone: UInt64)
    }

    let index: Int
    let roles: [WorkerRole]
    /// Counts the processes that ran in this place; stale occurrences name an older one.
    private(set) var incarnation = 0
    private var core: WorkerCore?
    private(set) var isAlive = false
    /// The connection its socket has at the moment; nil while there is none.
    var connection: Int?
    /// The time of the earliest tick that is scheduled.
    var tickAt: MonotonicTime?
    /// Unusable answers of this process: three of them ban it.
    var strikeCount = 0

    private var policy: PolicyManifest?
    private var learner: ScriptedLearner?
    private var open: [LeaseIdentifier] = []
    /// What was held when rollouts were begun.
    private var begunWith: [LeaseIdentifier: PolicyVersion] = [:]
    private var training: LeaseIdentifier?
    private let shardCount: Int
    private var busyUntil = MonotonicTime.zero

    init(index: Int, roles: [WorkerRole], shardCount: Int) {
        self.shardCount = shardCount
        self.index = index
        self.roles = roles
    }

    var name: String { "w\(index).\(incarnation)" }
    var nextDeadline: MonotonicTime? { core?.nextDeadline }

    func start(slots: Int, at now: MonotonicTime) {
        incarnation += 1
        core = WorkerCore(
            hello: Hello(
                protocolVersion: .current, worker: name, host: "host\(index)", processIdentifier: Int32(incarnation),
                roles: roles, threads: 1, rolloutSlots: slots, verificationSlots: slots, kernel: "scripted"))
        isAlive = true
        policy = nil
        learner = nil
        open = []
        busyUntil = now
        tickAt = nil
        strikeCount = 0
        connection = nil
    }

    func kill() {
        core = nil
        isAlive = false
        connection = nil
    }

    func handle(_ event: WorkerEvent, at now: MonotonicTime) -> [WorkerEffect] {
        core?.handle(event, at: now) ?? []
    }

    // MARK: the scripted shell

    /// When a step that takes this long, started after everything before it, is done.
    func occupy(for duration: Duration, at now: MonotonicTime) -> MonotonicTime {
        busyUntil = max(busyUntil, now) + duration
        return busyUntil
    }

    func open(_ lease: LeaseIdentifier, _ order: WorkOrder) {
        open.append(lease)
        if case .train = order { training = lease }
        if case .rollout = order { begunWith[lease] = policy?.version }
    }

    /// - Parameter isHalfDone: a training that is cut short may have changed the learner's state.
    func cancel(_ lease: LeaseIdentifier, isHalfDone: Bool) {
        open.removeAll { $0 == lease }
        if isHalfDone, training == lease { learner = nil }
    }

    func load(_ manifest: PolicyManifest, keepingWeights: Bool = false) {
        let former = policy
        policy = manifest
        if keepingWeights, let former { policy?.weightsHash = former.weightsHash }
    }

    /// Returns what is wrong with being asked for this.
    func restartLearner(_ manifest: PolicyManifest) -> String? {
        guard policy?.version == manifest.version, policy?.weightsHash == manifest.weightsHash else {
            return "\(name) is to restart its learner from a policy that it does not hold"
        }
        learner = ScriptedLearner(from: manifest, shardCount: shardCount)
        return nil
    }

    enum Result {
        case cancelled
        case report(WorkReport)
        case violation(String)
    }

    /// Does the work at the moment it is done.
    /// - Parameter gradients: what lies in blobs.
    func finish(
        _ lease: LeaseIdentifier, _ order: WorkOrder, gradients: inout [Digest: Digest]
    ) -> Result {
        guard open.contains(lease) else { return .cancelled }
        open.removeAll { $0 == lease }
        switch order {
        case .rollout(let assignment):
            guard let policy, assignment.admits(policy.version) else {
                return .violation("\(name) samples \(assignment.prompt.key) while holding another version")
            }
            var completions = ScriptedWork.completions(for: assignment, weights: policy.weightsHash)
            let first = begunWith.removeValue(forKey: lease) ?? policy.version
            for index in completions.indices where assignment.newer {
                let count = completions[index].tokens.count
                completions[index].versions = [first] + Array(repeating: policy.version, count: count - 1)
            }
            return .report(.completions(completions, seconds: 1))
        case .verify(let assignment):
            return .report(.verdicts(ScriptedWork.verdicts(for: assignment), seconds: 1))
        case .gradient(let assignment, let groups):
            return gradient(assignment, groups, lease, &gradients)
        case .train(let assignment, let groups):
            guard learner?.version == assignment.base, groups.count == assignment.groupCount else {
                let found = learner.map { "\($0.version.rawValue)" } ?? "nothing"
                return .violation("\(name) trains step \(assignment.step) from \(found)")
            }
            let made =
                assignment.parts.isEmpty
                ? learner?.train(assignment, groups) : learner?.train(assignment, parts: { gradients[$0] })
            guard let report = made else {
                // The coordinator that gave the order has ended, and its blobs with it.
                learner = nil
                return .report(.failed(reason: "a part of the gradient is gone", retryable: true))
            }
            return .report(.trained(report, seconds: 1))
        case .pretrain(let assignment):
            guard let report = learner?.pretrain(assignment) else {
                return .violation("\(name) pre-trains without a learner")
            }
            return .report(.trained(report, seconds: 1))
        case .saveCheckpoint:
            guard let learner else { return .violation("\(name) has nothing to save") }
            return .report(.trained(learner.report(step: Int(learner.version.rawValue), checkpoint: true), seconds: 1))
        case .score:
            return .report(.scored([]))
        }
    }

    private func gradient(
        _ assignment: GradientAssignment, _ groups: [CompletionGroup], _ lease: LeaseIdentifier,
        _ gradients: inout [Digest: Digest]
    ) -> Result {
        let held = assignment.keep ? learner?.version : policy?.version
        guard held == assignment.base, groups.count == assignment.groupCount else {
            let found = held.map { "\($0.rawValue)" } ?? "nothing"
            return .violation("\(name) computes a gradient of step \(assignment.step) from \(found)")
        }
        let gradient = ScriptedGradient.of(groups, shards: assignment.shards, shardCount: shardCount)
        var part = GradientPart(
            shards: assignment.shards, blob: nil,
            sums: [StepMetrics.Value(name: "loss", value: Double(assignment.shards.count))])
        if assignment.keep {
            learner?.keep(gradient, of: assignment.shards)
        } else {
            var print = Fingerprint(lease.rawValue)
            print.absorb(gradient)
            part.blob = BlobReference(digest: print.digest, byteCount: 32)
            gradients[print.digest] = gradient
        }
        return .report(.gradient(step: assignment.step, part, seconds: 1))
    }

    /// Training failed half-way: its state is of no use.
    func breakLearner() { learner = nil }
}
