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

    package struct Worker: Equatable, Sendable {
        package var name: String
        package var host: String
        package var roles: [WorkerRole]
        package var isReachable: Bool
        /// The version it proved to hold.
        package var version: PolicyVersion?
        package var leaseCount: Int
        package var completionCount: Int
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
            workers: membership.workers.map(status(of:)), counters: counters)
    }

    /// Results that came late or twice.
    package var duplicateCount: Int { counters.duplicateCount }

    private func status(of worker: Worker) -> CoordinatorStatus.Worker {
        var version: PolicyVersion?
        if case .ready(let manifest) = worker.policy { version = manifest.version }
        let leaseCount =
            rollouts.book.heldCount(of: worker.name) + verification.book.heldCount(of: worker.name)
            + gradients.book.heldCount(of: worker.name) + (training.running?.lease.worker == worker.name ? 1 : 0)
        return CoordinatorStatus.Worker(
            name: worker.name, host: worker.hello.host, roles: worker.hello.roles, isReachable: worker.isReachable,
            version: version ?? worker.learned?.version, leaseCount: leaseCount,
            completionCount: worker.completionCount, lastHeard: worker.lastHeard)
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
        return isPresent(.learner) ? "learning" : "waiting for learner workers"
    }

    private func isPresent(_ role: WorkerRole) -> Bool {
        membership.workers.contains { $0.isReachable && $0.hello.roles.contains(role) }
    }
}
