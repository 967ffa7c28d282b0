// What can happen to a worker's core, and what it asks its shell to do.

import Rollouts

package enum WorkerEvent: Equatable, Sendable {
    /// The socket was made (again): say hello.
    case connected
    case received(Message)
    /// Answer to `loadPolicy`: the weights are in place and this is their hash, computed here.
    case policyLoaded(PolicyVersion, weightsHash: Digest)
    /// Answer to `loadPolicy`: the weights held before are still in place.
    case policyLoadFailed(PolicyVersion, reason: String)
    /// Answer to `startWork`. After `.partialText` the work goes on.
    case workFinished(LeaseIdentifier, WorkReport)
    /// Units done so far: tokens, completions judged, micro-batches. Must grow while the work is alive.
    case workProgress(LeaseIdentifier, unitsDone: UInt64)
    /// Leave on purpose (a signal, or the end of the host's time).
    case leave(reason: String)
    case tick
}

package enum WorkerEffect: Equatable, Sendable {
    case send(Message)
    /// Close the socket, wait, make another one, and report `.connected`.
    case recreateSocket(after: Duration)
    /// Fetch the model bundle and make ready for this run. Work and policies of an earlier run are void.
    case configure(Welcome)
    /// Fetch, verify and hold these weights, after the loads asked for before; for a learner with the optimizer state.
    case loadPolicy(PolicyManifest)
    /// Comes right before a `.train` or `.pretrain`: the learner starts from the policy held, with the optimizer state
    /// of this manifest, or with a fresh one where it has none. Without it the learner goes on from its own state.
    case restartLearner(PolicyManifest)
    case startWork(LeaseIdentifier, WorkOrder)
    case cancelWork(LeaseIdentifier)
    /// What cancelled work left in the blob folder is nobody's.
    case discardBlobs([BlobReference])
    case note(Note)
    /// The core will say nothing more.
    case exit(reason: String, failure: Bool)
}

package enum WorkOrder: Equatable, Sendable {
    case rollout(RolloutAssignment)
    case verify(VerificationAssignment)
    /// Groups in key order.
    case train(TrainingAssignment, [CompletionGroup])
    /// Groups in key order.
    case gradient(GradientAssignment, [CompletionGroup])
    case pretrain(PretrainingAssignment)
    case score(ScoreAssignment)
    case saveCheckpoint

    /// Whether doing one does the other: work that is asked for again under another lease is not done twice.
    func isSameWork(as other: WorkOrder) -> Bool {
        if case .train(let left, _) = self, case .train(let right, _) = other { return left == right }
        if case .gradient(let left, _) = self, case .gradient(let right, _) = other { return left == right }
        return self == other
    }
}

package enum WorkReport: Equatable, Sendable {
    case completions([Completion], seconds: Double)
    case verdicts([Verdict], seconds: Double)
    /// For `.train`, `.pretrain` and `.saveCheckpoint`.
    case trained(TrainingReport, seconds: Double)
    case gradient(step: Int, GradientPart, seconds: Double)
    case scored([Float])
    /// All the text so far.
    case partialText(String)
    case failed(reason: String, retryable: Bool)
    /// For `.train` and `.gradient`: these groups are not what the policy makes.
    case disputed([GroupKey], reason: String)

    func message(for lease: LeaseIdentifier) -> Message {
        switch self {
        case .completions(let completions, let seconds):
            .rolloutResult(lease: lease, completions: completions, seconds: seconds)
        case .verdicts(let verdicts, let seconds):
            .verificationResult(lease: lease, verdicts: verdicts, seconds: seconds)
        case .trained(let report, let seconds): .trainingResult(lease: lease, report, seconds: seconds)
        case .gradient(let step, let part, let seconds):
            .gradientResult(lease: lease, step: step, part, seconds: seconds)
        case .scored(let logProbs): .scoreResult(lease: lease, logProbs: logProbs)
        case .partialText(let text): .partialText(lease: lease, text: text)
        case .failed(let reason, let retryable): .failed(lease: lease, reason: reason, retryable: retryable)
        case .disputed(let keys, let reason): .disputed(lease: lease, keys, reason: reason)
        }
    }
}

/// A worker that was admitted by key is called `ADMITTED:PROCESS`; the first part is the coordinator's word for it.
/// - Returns: the first part; nil for the name of a worker without a key.
package func admittedName(_ worker: String) -> String? {
    worker.firstIndex(of: ":").map { String(worker[..<$0]) }
}
