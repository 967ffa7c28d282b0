// What the run looks like at this moment, for `coordinator status` and the live view.

import Rollouts

package struct CoordinatorStatus: Equatable, Sendable {
    /// The last trained step.
    package var step: Int
    package var stepCount: Int
    /// starting, pretraining, evaluating, sampling, verifying, learning, saving, "waiting for … workers",
    /// "paused: why", or finished.
    package var phase: String
    /// Groups of the phase that have ended, and how many it has. While sampling, verifying and learning: those of the
    /// step in the making.
    package var groupsDone: Int
    package var groupsNeeded: Int
    package var newestVersion: PolicyVersion?
    package var checkpointStep: Int
    package var workers: [Worker]
    package var counters: Counters
    /// The newest, oldest first.
    package var faults: [Fault]

    package struct Worker: Equatable, Sendable {
        package var name: String
        package var host: String
        package var roles: [WorkerRole]
        package var isReachable: Bool
        /// It gets no new work and leaves when it holds nothing any more.
        package var isDraining: Bool
        /// The version it proved to hold.
        package var version: PolicyVersion?
        package var leaseCount: Int
        // What it did that was accepted.
        package var completionCount: Int
        package var tokenCount: Int
        package var verdictCount: Int
        package var stepCount: Int
        package var lastHeard: MonotonicTime
    }

    package struct Counters: Equatable, Sendable {
        /// Completions that stayed without a verdict.
        package var noVerdictCount = 0
        /// Leases taken back and given out again.
        package var releaseCount = 0
        /// Results that came late or twice.
        package var duplicateCount = 0
        /// Failures reported by workers, and unusable answers.
        package var faultCount = 0
        // What was accepted since this coordinator started, of workers that left too.
        package var completionCount = 0
        package var tokenCount = 0
        package var verdictCount = 0
        /// Groups that another worker sampled again to compare; checks that nobody could make.
        package var spotCheckCount = 0
        package var spotCheckSkippedCount = 0
        package init() {}
    }
}

extension Coordinator {
    package var status: CoordinatorStatus {
        let groups = evaluation.batch?.groups ?? buffer[progress.trainedStep + 1]?.groups ?? []
        return CoordinatorStatus(
            step: progress.trainedStep, stepCount: progress.stepCount, phase: phase,
            groupsDone: groups.filter(\.isEnded).count, groupsNeeded: groups.count,
            newestVersion: publication.newest?.version, checkpointStep: progress.checkpoint.step,
            workers: membership.workers.map(status(of:)), counters: counters,
            faults: faults.recent)
    }

    /// Which worker has this connection.
    package func name(of peer: PeerIdentifier) -> String? {
        membership.index(at: peer).map { membership.workers[$0].name }
    }

    /// What may be otherwise after every event.
    package struct Glance: Sendable {
        /// Whether the last event may have changed more than times and counts of work done.
        package let hasChanged: Bool
        package let isFinished: Bool
        package let isPaused: Bool
        package let isUnsettled: Bool
        package let nextDeadline: MonotonicTime?
        /// Results that came late or twice.
        package let duplicateCount: Int
    }

    /// `mutating`, so that the core is lent to it: a look from another module would be a copy of all that it knows.
    package mutating func glance() -> Glance {
        Glance(
            hasChanged: hasChanged, isFinished: progress.isFinished,
            isPaused: progress.isPaused && progress.isStarted && !progress.isFinished, isUnsettled: isUnsettled,
            nextDeadline: nextDeadline, duplicateCount: counters.duplicateCount)
    }

    /// Workers filed and units looked at so far: what the decisions who gets what have cost, whatever the time.
    package var workCount: Int {
        index.filingCount + rollouts.book.waiting.lookCount + verification.book.waiting.lookCount
    }

    private func status(of worker: Worker) -> CoordinatorStatus.Worker {
        var version: PolicyVersion?
        if case .ready(let manifest) = worker.policy { version = manifest.version }
        return CoordinatorStatus.Worker(
            name: worker.name, host: worker.hello.host, roles: worker.hello.roles, isReachable: worker.isReachable,
            isDraining: worker.isDraining,
            version: version ?? worker.learned?.version, leaseCount: leaseCount(of: worker.name),
            completionCount: worker.completionCount,
            tokenCount: worker.tokenCount, verdictCount: worker.verdictCount, stepCount: worker.stepCount,
            lastHeard: worker.lastHeard)
    }

    private var phase: String {
        if progress.isFinished { return "finished" }
        guard progress.isStarted else { return "starting" }
        if let pause = progress.pause { return "paused: \(pause.reason)" }
        if let running = training.running {
            switch running.order {
            case .pretrain: return "pretraining"
            case .train: return "learning"
            case .save: return "saving"
            }
        }
        if gradients.shared != nil { return "learning" }
        if progress.isStopping { return "saving" }
        if pretraining != nil { return isPresent(.learner) ? "pretraining" : "waiting for learner workers" }
        let groups = evaluation.batch?.groups ?? buffer[progress.trainedStep + 1]?.groups ?? []
        if groups.contains(where: { $0.state == .sampling }) {
            guard isPresent(.rollout) else { return "waiting for rollout workers" }
            return evaluation.batch == nil ? "sampling" : "evaluating"
        }
        if groups.contains(where: { $0.state == .verifying }) {
            guard isPresent(.verifier) else { return "waiting for verifier workers" }
            return evaluation.batch == nil ? "verifying" : "evaluating"
        }
        if groups.contains(where: \.check.isOpen) {
            let isContested = groups.contains { if case .contested = $0.check { true } else { false } }
            return isContested ? "waiting for a third rollout worker to decide a spot check" : "checking"
        }
        return isPresent(.learner) ? "learning" : "waiting for learner workers"
    }

    /// Whether a worker that takes work has this role.
    func isPresent(_ role: WorkerRole) -> Bool {
        membership.workers.contains { $0.takesWork && $0.hello.roles.contains(role) }
    }
}
