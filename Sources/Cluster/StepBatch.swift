// The groups of one step or of one evaluation, from drawn prompts to verdicts.

import PolicyOptimization
import Rollouts

/// A group is: sampling → verifying → judged, or abandoned.
struct TrackedGroup: Equatable, Sendable {
    enum State: Equatable, Sendable {
        case sampling
        case verifying
        case judged
        case abandoned(reason: String)
    }
    var prompt: Prompt
    var state = State.sampling
    /// In index order; empty until accepted.
    var completions: [Completion] = []
    /// One per completion; empty until judged.
    var verdicts: [Verdict] = []
    /// Who sampled the completions; nil when they come from the store.
    var sampler: String?
    var check = SpotCheck.none
    /// What a learner has disputed: the group is sampled again, and the same answer twice clears the samplers.
    var disputed: [Completion] = []

    init(prompt: Prompt) { self.prompt = prompt }

    var isEnded: Bool {
        switch state {
        case .sampling, .verifying: false
        case .judged: !check.isOpen
        case .abandoned: true
        }
    }

    var isAbandoned: Bool { if case .abandoned = state { true } else { false } }

    var judged: [Verdict] { verdicts.filter { $0.outcome != .noVerdict } }

    /// Whether the judged completions have more than one reward: only then the group teaches something.
    var hasSpread: Bool {
        guard case .judged = state, let first = judged.first else { return false }
        return judged.contains { $0.score != first.score }
    }

    /// What the learner is given.
    func completionGroup(shuffleSeed: UInt64?) -> CompletionGroup {
        CompletionGroup(
            prompt: prompt, completions: completions, verdicts: verdicts,
            rewards: Rewards.rewards(of: verdicts, in: prompt.key, shuffleSeed: shuffleSeed))
    }
}

struct StepBatch: Equatable, Sendable {
    let purpose: Purpose
    let step: Int
    let version: PolicyVersion
    /// Where the data cursor stands for ordinal 0.
    let position: Int
    /// Ordinals below this are asked for.
    var requestedCount = 0
    /// In ordinal order; fewer than `requestedCount` while prompts are being drawn. After changes other than by
    /// `changeGroup`: `count`.
    var groups: [TrackedGroup] = []
    /// Groups that have not ended.
    private(set) var openCount = 0
    /// Every group has ended, and no more will be drawn.
    var isClosed = false
    /// Ordinals of the groups to train, ascending; set when closed.
    var trainable: [Int] = []
    /// Trained, and its groups let go to save memory.
    var isShed = false

    var dispatchedAt: MonotonicTime?
    var lastCompletedAt: MonotonicTime?
    var closedAt: MonotonicTime?

    init(purpose: Purpose, step: Int, version: PolicyVersion, position: Int) {
        self.purpose = purpose
        self.step = step
        self.version = version
        self.position = position
    }

    var nextPosition: Int { position + requestedCount }
    var isDrawn: Bool { isShed || groups.count == requestedCount }
    var isEnded: Bool { isDrawn && openCount == 0 }
    var tokenCount: Int {
        groups.reduce(0) { $0 + $1.prompt.tokens.count + $1.completions.reduce(0) { $0 + $1.tokens.count } }
    }

    /// Counts the open groups anew.
    mutating func count() { openCount = groups.indices.count { !groups[$0].isEnded } }

    /// Changes one group, and perhaps times of the batch; nothing where there is no such group.
    mutating func changeGroup(_ ordinal: Int, _ change: (inout StepBatch, Int) -> Void) {
        guard groups.indices.contains(ordinal) else { return }
        let wasEnded = groups[ordinal].isEnded
        change(&self, ordinal)
        openCount += (wasEnded ? 1 : 0) - (groups[ordinal].isEnded ? 1 : 0)
    }

    /// Share of the completions that stayed without a verdict.
    var noVerdictShare: Double {
        let count = groups.reduce(0) { $0 + $1.verdicts.count }
        return count == 0 ? 0 : Double(noVerdictCount) / Double(count)
    }
    var noVerdictCount: Int { groups.reduce(0) { $0 + $1.verdicts.count - $1.judged.count } }
}

/// Rewards from verdicts.
enum Rewards {
    /// The verdicts' scores, 0 where there is none. With a seed, those of judged completions change places inside the
    /// group: a control experiment in which rewards say nothing.
    static func rewards(of verdicts: [Verdict], in key: GroupKey, shuffleSeed: UInt64?) -> [Double] {
        let hasVerdict = verdicts.map { $0.outcome != .noVerdict }
        let rewards = zip(verdicts, hasVerdict).map { $1 ? $0.score : 0 }
        guard let shuffleSeed else { return rewards }
        return shuffledRewards(rewards, hasVerdict: hasVerdict, seed: shuffleSeed, group: key)
    }
}
