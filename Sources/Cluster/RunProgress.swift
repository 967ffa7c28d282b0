// How far the run is, and what may happen next: START, ADVANCE, stop.

import Rollouts

/// Pacing: a group of step n is STARTED only when version n − 1 − lag is published; a step ADVANCES to training only
/// when the step before it is trained and evaluated; nothing older than the lag is ever trained.
/// A run is: starting → pretraining → stepping ⇄ paused → (stopping →) finished.
struct RunProgress: Equatable, Sendable {
    enum Pause: Equatable, Sendable {
        /// By the operator, who may say why.
        case requested(reason: String?)
        case noVerdicts(step: Int, share: Double)
        case rollouts(GroupKey, reason: String)
        /// Three workers, three answers.
        case spotCheck(GroupKey, workers: [String])

        var reason: String {
            switch self {
            case .requested(let reason):
                "on request" + (reason.map { ": \($0)" } ?? "") + "; resume when ready"
            case .noVerdicts(let step, let share):
                "step \(step): \(Int((share * 100).rounded())) % of the completions have no verdict; look at the "
                    + "verifiers' reasons, mend them and resume (these completions are judged again), or raise "
                    + "cluster.no_verdict_share_limit"
            case .rollouts(let key, let reason):
                "group \(key.words) failed \(RolloutScheduler.failureLimit) times, "
                    + "last: \(reason); mend it and resume"
            case .spotCheck(let key, let workers):
                "group \(key.words) was sampled in three ways by \(workers.map { "`\($0)`" }.joined(separator: ", ")); "
                    + "compare `worker info` there, drain whom you doubt and resume (the group is sampled again)"
            }
        }
    }

    let stepCount: Int
    /// How far sampling lags behind: exactly so far, or `isInflight`, at most.
    let lag: Int
    /// Weights change between tokens.
    let isInflight: Bool
    private let checkpointEverySteps: Int
    private let evaluationEverySteps: Int

    var isStarted = false
    /// The last trained step; its policy is published.
    var trainedStep: Int
    var checkpoint: Checkpoint
    var pause: Pause?
    var isStopping = false
    var outcome: RunOutcome?
    /// The outcome was asked to be made durable.
    var isEndStored = false
    /// When the last step was trained, or the run was started.
    var lastStepAt: MonotonicTime?

    init(options: RunOptions, checkpoint: Checkpoint) {
        stepCount = options.schedule.steps
        lag = max(0, options.schedule.reach)
        isInflight = options.schedule.inflight
        checkpointEverySteps = options.checkpoint.everySteps
        evaluationEverySteps = options.evaluation.everySteps
        trainedStep = checkpoint.step
        self.checkpoint = checkpoint
    }

    /// The version that samples the groups of a step: exactly n − 1 − lag, whatever is newest. In flight: the oldest
    /// that may.
    func version(for step: Int) -> PolicyVersion { PolicyVersion(UInt64(max(0, step - 1 - lag))) }
    /// The versions that may have sampled tokens of a step.
    func versions(for step: Int) -> ClosedRange<PolicyVersion> {
        let oldest = version(for: step)
        return oldest...(isInflight ? PolicyVersion(UInt64(max(0, step - 1))) : oldest)
    }
    /// The oldest version that going back to the checkpoint may need again.
    var oldestNeededVersion: PolicyVersion { version(for: checkpoint.step + 1) }
    /// The oldest version that a start from the checkpoint needs. In flight the newest one samples.
    var oldestStartingVersion: PolicyVersion { isInflight ? checkpoint.manifest.version : oldestNeededVersion }

    func mayStart(_ step: Int, newest: PolicyVersion?) -> Bool {
        guard let newest else { return false }
        return step <= stepCount && version(for: step) <= newest
    }

    /// Whether a step or an evaluation is sampled with this version.
    func isSampled(with version: PolicyVersion) -> Bool {
        (stepCount > 0 && version <= versions(for: stepCount).upperBound)
            || wantsEvaluation(after: Int(version.rawValue))
    }

    func wantsCheckpoint(at step: Int) -> Bool {
        step == stepCount || (checkpointEverySteps > 0 && step % checkpointEverySteps == 0)
    }

    func wantsEvaluation(after step: Int) -> Bool {
        guard evaluationEverySteps > 0 else { return false }
        return step == 0 || step == stepCount || step % evaluationEverySteps == 0
    }

    var isPaused: Bool { pause != nil }
    var isFinished: Bool { outcome != nil }
}
