// What the learner is asked to do, and whether its answer can be used.

import Rollouts

/// One learner at a time holds the optimizer state. idle → running → idle; a running order keeps its former leases
/// when it is sent again after a lost connection. A learner that is lost with steps since the checkpoint takes the run
/// back to the checkpoint.
struct TrainingStep: Equatable, Sendable {
    /// Failures of one order in a row before the run fails.
    static let failureLimit = 3

    enum Order: Equatable, Sendable {
        case pretrain
        case train(step: Int)
        /// Store the optimizer state of this step, already trained.
        case save(step: Int)
    }

    struct Running: Equatable, Sendable {
        var order: Order
        var lease: Lease
        var former: [LeaseIdentifier] = []
        var startedAt: MonotonicTime
        /// For `train`.
        var learningRate: Double
        /// For `train`: the result must carry the optimizer state.
        var wantsCheckpoint: Bool
        /// For `train`: the gradient, where several learners computed it.
        var parts: [GradientPart] = []

        func answers(to lease: LeaseIdentifier) -> Bool { self.lease.identifier == lease || former.contains(lease) }
    }

    private(set) var running: Running?
    private(set) var failureCount = 0
    /// Leases on the step that ended for want of progress.
    private(set) var expiryCount = 0

    mutating func start(_ running: Running) {
        precondition(self.running == nil, "the learner is already at work")
        self.running = running
    }

    /// The order is sent again under another lease.
    mutating func renew(_ lease: Lease) {
        guard var renewed = running else { return }
        renewed.former.append(renewed.lease.identifier)
        renewed.lease = lease
        running = renewed
    }

    mutating func finish() {
        running = nil
        failureCount = 0
        expiryCount = 0
    }

    mutating func expire() { expiryCount += 1 }

    mutating func stop() { running = nil }

    /// Another step comes next.
    mutating func forgetExpiries() { expiryCount = 0 }

    /// Returns whether the order may be tried again.
    mutating func fail() -> Bool {
        running = nil
        failureCount += 1
        return failureCount < Self.failureLimit
    }

    /// The operator resumes the run: failures are counted from 0 again.
    mutating func forgive() { failureCount = 0 }

    mutating func progress(of worker: String, _ report: LeaseProgress) -> Bool {
        guard let lease = running?.lease, lease.worker == worker, lease.identifier == report.lease,
            report.unitsDone > lease.unitsDone
        else { return false }
        running?.lease.unitsDone = report.unitsDone
        return true
    }

    mutating func extend(_ worker: String, at now: MonotonicTime) {
        if running?.lease.worker == worker { running?.lease.extend(at: now) }
    }

    /// What makes this report unusable as an answer to the running order; nil when nothing does.
    /// - Parameter saved: the published policy that a `save` must match.
    func fault(in report: TrainingReport, saved: PolicyManifest?) -> String? {
        guard let running else { return "nothing is being trained" }
        let step: Int
        switch running.order {
        case .pretrain: step = 0
        case .train(let trained): step = trained
        case .save(let trained): step = trained
        }
        guard report.step == step else { return "reports step \(report.step), asked for \(step)" }
        guard report.manifest.version == PolicyVersion(UInt64(step)) else {
            return "made version \(report.manifest.version.rawValue), expected \(step)"
        }
        if case .save = running.order, let saved, saved.weightsHash != report.manifest.weightsHash {
            return "stored weights \(report.manifest.weightsHash), expected \(saved.weightsHash)"
        }
        if running.wantsCheckpoint, report.manifest.optimizer == nil { return "the optimizer state is missing" }
        return nil
    }
}
