// What the core needs to know before the first event: a fresh run, or one that goes on from its store.

import Rollouts

package struct RunStart: Equatable, Sendable {
    /// The run's name.
    package var run: String
    /// Where the run goes on from: step 0 with the base policy for a fresh run.
    package var checkpoint: Checkpoint
    /// The base policy: the checkpoint's own manifest for a fresh run.
    package var reference: PolicyManifest
    /// Sent to every worker that joins.
    package var welcome: Welcome
    /// Next-token training before step 1; only for a fresh run of an initialised model.
    package var pretraining: PretrainingAssignment?
    /// Held-out prompts in ordinal order, purpose `.evaluation`; the core sets the step of their keys.
    package var evaluationPrompts: [Prompt]
    /// Steps whose evaluation is already stored. Those after the checkpoint are made again.
    package var evaluatedSteps: [Int]
    /// How many times this run was started before: 0 for a fresh run. Lease identifiers carry it, so that they never
    /// repeat within a run.
    package var leaseEpoch: UInt64
    /// Policies that the store knows, in any order. Up to the checkpoint's version they are published again where a
    /// lag needs them; those after it are what training the same steps again must reproduce.
    package var policies: [PolicyManifest]
    /// Groups of unfinished steps whose completions are stored: they are not sampled again.
    package var accepted: [AcceptedGroup]
    /// Worker processes that were told to leave before this start, oldest first: they get no work.
    package var drained: [String]
    /// Most tokens of trained steps that are kept for training them again should the learner be lost. Steps beyond it
    /// are sampled again, with the same result.
    package var replayTokensLimit: Int
    /// Token ids from this on are in no completion; nil: not known.
    package var vocabularyCount: Int?

    package init(
        run: String, checkpoint: Checkpoint, reference: PolicyManifest? = nil, welcome: Welcome,
        pretraining: PretrainingAssignment? = nil,
        evaluationPrompts: [Prompt] = [], evaluatedSteps: [Int] = [], leaseEpoch: UInt64 = 0,
        policies: [PolicyManifest] = [], accepted: [AcceptedGroup] = [], drained: [String] = [],
        replayTokensLimit: Int = 16_000_000, vocabularyCount: Int? = nil
    ) {
        self.run = run
        self.checkpoint = checkpoint
        self.reference = reference ?? checkpoint.manifest
        self.welcome = welcome
        self.pretraining = pretraining
        self.evaluationPrompts = evaluationPrompts
        self.evaluatedSteps = evaluatedSteps
        self.leaseEpoch = leaseEpoch
        self.policies = policies
        self.accepted = accepted
        self.drained = drained
        self.replayTokensLimit = replayTokensLimit
        self.vocabularyCount = vocabularyCount
    }
}

/// A group whose completions, and perhaps verdicts, are durable.
package struct AcceptedGroup: Equatable, Sendable {
    package var prompt: Prompt
    package var completions: [Completion]
    package var verdicts: [Verdict]?
    package init(prompt: Prompt, completions: [Completion], verdicts: [Verdict]? = nil) {
        self.prompt = prompt
        self.completions = completions
        self.verdicts = verdicts
    }
}
