// Which groups make up each step's batch, and which of them are trained.

import Rollouts

/// Batches of the steps after the checkpoint, in step order. Groups are accepted in prompt order, never by arrival.
/// Batches stay after training until a checkpoint covers them, so that a lost learner's steps can be made again.
struct RolloutBuffer: Equatable, Sendable {
    private(set) var batches: [StepBatch] = []
    private let promptsPerStep: Int
    private let dropEqualGroups: Bool
    private let drawLimit: Int
    private let noVerdictShareLimit: Double
    private let replayTokensLimit: Int

    enum Settlement: Equatable {
        case waiting
        /// Draw these ordinals.
        case draw(Range<Int>)
        /// Too many completions have no verdict to go on.
        case unverified(share: Double)
        case closed(StepBatch)
    }

    init(options: RunOptions, replayTokensLimit: Int) {
        promptsPerStep = options.rollout.promptsPerStep
        dropEqualGroups = options.algorithm.dropEqualGroups
        drawLimit = options.rollout.promptsPerStep * (dropEqualGroups ? max(1, options.algorithm.refillLimit) : 1)
        noVerdictShareLimit = options.cluster.noVerdictShareLimit
        // Weights that changed between tokens do not come back: such groups cannot be sampled again alike.
        self.replayTokensLimit = options.schedule.inflight ? .max : replayTokensLimit
        precondition(promptsPerStep > 0, "rollout.prompts_per_step must be positive")
    }

    func index(of step: Int) -> Int? {
        guard let first = batches.first else { return nil }
        if batches.indices.contains(step - first.step), batches[step - first.step].step == step {
            return step - first.step
        }
        return batches.firstIndex { $0.step == step }
    }
    /// Where the batches of the steps after this one are.
    func places(after step: Int) -> Range<Int> {
        var first = batches.count
        while first > 0, batches[first - 1].step > step { first -= 1 }
        return first..<batches.count
    }
    subscript(step: Int) -> StepBatch? { index(of: step).map { batches[$0] } }

    /// Where the cursor stands for a batch after the last one; nil while that is undecided.
    func nextPosition(afterCheckpoint position: Int) -> Int? {
        guard let last = batches.last else { return position }
        if dropEqualGroups { return last.isClosed ? last.nextPosition : nil }
        return last.position + promptsPerStep
    }

    mutating func open(_ batch: StepBatch) {
        precondition(batches.last.map { $0.step + 1 == batch.step } ?? true, "batches are opened in step order")
        batches.append(batch)
    }

    mutating func change(_ step: Int, _ change: (inout StepBatch) -> Void) {
        guard let index = index(of: step) else { return }
        change(&batches[index])
        batches[index].count()
    }

    mutating func changeGroup(_ step: Int, _ ordinal: Int, _ change: (inout StepBatch, Int) -> Void) {
        guard let index = index(of: step) else { return }
        batches[index].changeGroup(ordinal, change)
    }

    /// Decides what a batch needs next, and closes it when it needs nothing.
    mutating func settle(_ step: Int, at now: MonotonicTime) -> Settlement {
        guard let index = index(of: step), !batches[index].isClosed else { return .waiting }
        if batches[index].requestedCount == 0 { return request(promptsPerStep, index) }
        guard batches[index].isEnded else { return .waiting }
        let share = batches[index].noVerdictShare
        if share > noVerdictShareLimit { return .unverified(share: share) }
        let useful = batches[index].groups.indices.filter { ordinal in
            let group = batches[index].groups[ordinal]
            return group.state == .judged && (!dropEqualGroups || group.hasSpread)
        }
        let missing = min(promptsPerStep - useful.count, drawLimit - batches[index].requestedCount)
        if dropEqualGroups, missing > 0 { return request(missing, index) }
        batches[index].trainable = Array(useful.prefix(promptsPerStep))
        batches[index].isClosed = true
        batches[index].closedAt = now
        return .closed(batches[index])
    }

    private mutating func request(_ count: Int, _ index: Int) -> Settlement {
        let first = batches[index].requestedCount
        batches[index].requestedCount += count
        return .draw(first..<first + count)
    }

    /// A checkpoint covers these steps: their groups are not needed again.
    mutating func forget(through step: Int) {
        batches.removeAll { $0.step <= step }
    }

    /// Keeps trained batches within the token limit: the groups of the oldest are let go.
    mutating func shed(trainedThrough step: Int) {
        var tokenCount = 0
        for index in batches.indices.reversed() where batches[index].step <= step && !batches[index].isShed {
            tokenCount += batches[index].tokenCount
            if tokenCount > replayTokensLimit {
                batches[index].groups = []
                batches[index].count()
                batches[index].isShed = true
            }
        }
    }

    /// The steps after this one are made again: batches that were let go are drawn and sampled again.
    mutating func reopen(after step: Int) {
        for index in batches.indices where batches[index].step > step && batches[index].isShed {
            let old = batches[index]
            batches[index] = StepBatch(
                purpose: old.purpose, step: old.step, version: old.version, position: old.position)
        }
    }

    /// A policy is another one: what was sampled with it, or may have been, is void. Returns the batches let go.
    mutating func void(where isVoid: (Int) -> Bool) -> [StepBatch] {
        let void = batches.filter { isVoid($0.step) }
        batches.removeAll { isVoid($0.step) }
        return void
    }
}
