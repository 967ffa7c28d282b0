// What a worker is asked to do and what it answers.

/// Sample completions of one prompt. Any worker that repeats this makes the same tokens, unless newer versions may too.
package struct RolloutAssignment: Equatable, Sendable, Codable {
    package var prompt: Prompt
    /// Number of completions; indices 0..<groupSize.
    package var groupSize: Int
    package var version: PolicyVersion
    package var sampling: SamplingOptions
    package var seed: UInt64
    /// `version` is the oldest that may sample: newer ones may too, and take over between tokens.
    package var newer: Bool
    package init(
        prompt: Prompt, groupSize: Int, version: PolicyVersion, sampling: SamplingOptions, seed: UInt64,
        newer: Bool = false
    ) {
        self.newer = newer
        self.prompt = prompt
        self.groupSize = groupSize
        self.version = version
        self.sampling = sampling
        self.seed = seed
    }
}

extension RolloutAssignment {
    /// Whether a token may come from this version.
    package func admits(_ version: PolicyVersion) -> Bool {
        newer ? version >= self.version : version == self.version
    }
}

/// Judge the completions of one group.
package struct VerificationAssignment: Equatable, Sendable, Codable {
    package var key: GroupKey
    package var promptText: String
    package var answer: String
    /// Completion texts, in index order.
    package var completions: [String]
    package init(key: GroupKey, promptText: String, answer: String, completions: [String]) {
        self.key = key
        self.promptText = promptText
        self.answer = answer
        self.completions = completions
    }
}

/// One optimizer update. The step's groups were sent just before, in key order, under the same lease; or there are
/// none, and the gradient is the sum of `parts`.
package struct TrainingAssignment: Equatable, Sendable, Codable {
    /// The step to make, from 1; the weights held must be of `base`.
    package var step: Int
    package var base: PolicyVersion
    /// How many `trainingGroup` messages belong to this lease. May be 0: then the version advances unchanged.
    package var groupCount: Int
    package var learningRate: Double
    /// Store the optimizer state too.
    package var checkpoint: Bool
    /// The frozen base policy, where the recipe has a KL term.
    package var reference: PolicyManifest?
    /// Every part of the gradient, in shard order, where several learners computed it.
    package var parts: [GradientPart]
    package init(
        step: Int, base: PolicyVersion, groupCount: Int, learningRate: Double, checkpoint: Bool,
        reference: PolicyManifest? = nil, parts: [GradientPart] = []
    ) {
        self.reference = reference
        self.parts = parts
        self.step = step
        self.base = base
        self.groupCount = groupCount
        self.learningRate = learningRate
        self.checkpoint = checkpoint
    }
}

/// Next-token training before the first step: plain token sequences, one optimizer update per batch.
package struct PretrainingAssignment: Equatable, Sendable, Codable {
    /// Token ids of every sequence; consecutive runs of `sequencesPerStep` make the batches.
    package var sequences: [[Int32]]
    package var sequencesPerStep: Int
    package var learningRate: Double
    package init(sequences: [[Int32]], sequencesPerStep: Int, learningRate: Double) {
        self.sequences = sequences
        self.sequencesPerStep = sequencesPerStep
        self.learningRate = learningRate
    }
}

package struct TrainingReport: Equatable, Sendable, Codable {
    package var step: Int
    package var manifest: PolicyManifest
    /// Measured by the learner; names are metrics.jsonl keys.
    package var metrics: [StepMetrics.Value]
    package init(step: Int, manifest: PolicyManifest, metrics: [StepMetrics.Value]) {
        self.step = step
        self.manifest = manifest
        self.metrics = metrics
    }
}

/// Token log-probs of given text under a policy, temperature 1.
package struct ScoreAssignment: Equatable, Sendable, Codable {
    package var version: PolicyVersion
    package var tokens: [Int32]
    package init(version: PolicyVersion, tokens: [Int32]) {
        self.version = version
        self.tokens = tokens
    }
}
