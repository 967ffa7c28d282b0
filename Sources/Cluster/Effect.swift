// What the coordinator's core asks the shell to do.

import Rollouts

package enum Effect: Equatable, Sendable {
    case send(Message, to: PeerIdentifier)
    /// Must be durable before any later effect of the same list is performed.
    case persist(Record)
    /// Draw the prompts with these keys' ordinals from the data cursor, which stands at `position` for `first`.
    case drawPrompts(Purpose, step: Int, ordinals: Range<Int>, position: Int)
    /// A step is complete: append to metrics.jsonl, TensorBoard and the screen.
    case report(StepMetrics)
    /// A held-out evaluation is complete.
    case reportEvaluation(EvaluationReport)
    /// Everything after this step is undone (the learner went back to its checkpoint): truncate metrics.
    case rewind(toStep: Int)
    /// Blobs of versions before this one are no longer needed.
    case forgetBlobs(before: PolicyVersion)
    /// Parts of gradients that nobody needs any more.
    case removeBlobs([BlobReference])
    case note(Note)
    /// What came of `Event.asked` with this number.
    case answer(OperatorAnswer, number: UInt64)
    /// This process leaves for good: if it is a local worker of this coordinator, it is not started again.
    case retire(process: Int32, host: String)
    /// The core will say nothing more.
    case finish(RunOutcome)
}

/// What must survive a crash.
package enum Record: Equatable, Sendable, Codable {
    case workerJoined(name: String, host: String, roles: [WorkerRole])
    case workerLeft(name: String, reason: String)
    /// The operator told this process to leave: it gets no work any more, from a restarted coordinator either.
    case workerDrained(name: String)
    /// A group's completions were accepted.
    case completionsAccepted(Prompt, [Completion])
    /// A group's verdicts were accepted.
    case verdictsAccepted(GroupKey, [Verdict])
    /// A group ended without being trained.
    case groupDropped(GroupKey, reason: String)
    /// A step is trained and its policy exists. `nextPosition`: the data cursor for the next step.
    case stepTrained(StepMetrics, manifest: PolicyManifest, groups: [GroupKey], nextPosition: Int)
    /// Weights and optimizer state that a run can go on from. The shell makes the checkpoint folder durable.
    case checkpointed(Checkpoint)
    case evaluated(EvaluationReport)
    case finished(RunOutcome)
}

/// A place a run can go on from.
package struct Checkpoint: Equatable, Sendable, Codable {
    package var step: Int
    /// `optimizer` is set, except for the base policy.
    package var manifest: PolicyManifest
    /// Prompts drawn from the data cursor up to and including this step.
    package var nextPosition: Int
    package init(step: Int, manifest: PolicyManifest, nextPosition: Int) {
        self.step = step
        self.manifest = manifest
        self.nextPosition = nextPosition
    }
}

package struct EvaluationReport: Equatable, Sendable, Codable {
    /// After this step; 0 is the base model.
    package var step: Int
    package var version: PolicyVersion
    package var right: Int
    package var wrong: Int
    package var noVerdict: Int
    package var completionTokensMean: Double
    /// Right and judged per source, in source order of first appearance.
    package var bySource: [SourceCount]
    /// A few completions to show: prompt text, completion, right or not.
    package var examples: [Example]

    package struct SourceCount: Equatable, Sendable, Codable {
        package var source: String
        package var right: Int
        package var judged: Int
        package init(source: String, right: Int, judged: Int) {
            self.source = source
            self.right = right
            self.judged = judged
        }
    }
    package struct Example: Equatable, Sendable, Codable {
        package var prompt: String
        package var completion: String
        package var answer: String
        package var outcome: Verdict.Outcome
        package init(prompt: String, completion: String, answer: String, outcome: Verdict.Outcome) {
            self.prompt = prompt
            self.completion = completion
            self.answer = answer
            self.outcome = outcome
        }
    }
    package init(
        step: Int, version: PolicyVersion, right: Int, wrong: Int, noVerdict: Int, completionTokensMean: Double,
        bySource: [SourceCount], examples: [Example]
    ) {
        self.step = step
        self.version = version
        self.right = right
        self.wrong = wrong
        self.noVerdict = noVerdict
        self.completionTokensMean = completionTokensMean
        self.bySource = bySource
        self.examples = examples
    }
    /// Share of judged completions that are right; 0 when none was judged.
    package var accuracy: Double { right + wrong == 0 ? 0 : Double(right) / Double(right + wrong) }
}

package enum RunOutcome: Equatable, Sendable, Codable {
    case completed(step: Int)
    /// Stopped on request; `--resume` goes on from `step`.
    case interrupted(step: Int)
    /// Stopped because it cannot go on; the reason is one line that says what to do.
    case failed(step: Int, reason: String)
}

/// Something worth a log line. The shell logs it, a transcript prints it, a test matches it.
package struct Note: Equatable, Sendable {
    package enum Level: UInt8, Sendable { case debug, info, warning, error }
    package var level: Level
    package var text: String
    /// What it is about, for a log in which one looks for these.
    package var step: Int?
    package var worker: String?
    package var lease: LeaseIdentifier?
    package init(
        _ level: Level, _ text: String, step: Int? = nil, worker: String? = nil, lease: LeaseIdentifier? = nil
    ) {
        self.level = level
        self.text = text
        self.step = step
        self.worker = worker
        self.lease = lease
    }
}
