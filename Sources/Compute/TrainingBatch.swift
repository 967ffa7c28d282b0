// One step's groups as the engine and the loss want them: which completions teach, and how they are cut.

import Engine
import PolicyOptimization
import Rollouts

/// The batch of one step. Completions without a verdict are absent; those that cannot have a gradient count in the
/// loss's denominators but are never computed.
struct TrainingBatch {
    private let groups: [CompletionGroup]
    private let options: RunOptions
    /// Per group, the completions that are computed.
    private let taught: [[TrainedCompletion]]
    let loss: PolicyLoss
    /// Passes through the model, cut by the data and the recipe alone.
    let shards: [Shard]
    /// The temperature that log-probs are taken at: the sampler's.
    let temperature: Double

    /// What goes through the model together. Under bfloat16 the gradient is a sum over units of at most `unitTokens`
    /// (a longer single completion is a unit of its own), cut by the data alone; passes hold whole units, so the
    /// budget changes memory and speed, never a bit of the weights. A budget below `unitTokens` is one unit a pass.
    /// Under float32 a pass is one unit.
    struct Pass {
        var batch: MicroBatch
        /// Numbers of consecutive parts of `batch`.
        var units: [Int]
        var tokenCount: Int { batch.tokenCount }
    }
    static let unitTokens = 1024

    /// A part of the batch whose gradient is computed by itself.
    struct Shard {
        var groups: Range<Int>
        var passes: [Pass]
    }

    /// - Parameters:
    ///   - shards: the groups of each, as `shardGroups` makes them.
    ///   - referenceKL: per group and completion, Σ (ℓ − ℓ_ref); needed when KL is a part of the reward.
    init(
        _ groups: [CompletionGroup], options: RunOptions, shards: [Range<Int>], referenceKL: [[Double]]? = nil
    ) {
        self.groups = groups
        self.options = options
        temperature = Self.temperature(options)
        let algorithm = options.algorithm
        let limit = options.rollout.sampling.maxNewTokens
        let trained = groups.indices.map { index in
            trainedCompletions(
                of: groups[index], options: algorithm, tokenLimit: limit, referenceKL: referenceKL?[index])
        }
        var tokenCount = 0
        var sequenceCount = 0
        for (group, completions) in zip(groups, trained) {
            sequenceCount += completions.count
            for completion in completions { tokenCount += group.completions[completion.index].tokens.count }
        }
        loss = PolicyLoss(
            options: algorithm,
            totals: LossTotals(tokenCount: tokenCount, sequenceCount: sequenceCount, constantLength: limit))
        let regularized = Self.isRegularized(algorithm)
        let taught = trained.map { completions in completions.filter { regularized || $0.advantage != 0 } }
        self.taught = taught
        let shapes = Self.shapes(groups, taught)
        self.shards = shards.map { range in
            var passes = Self.passes(
                of: Array(shapes[range]), tokenBudget: options.optimizer.tokenBudget,
                precision: options.model.precision)
            for pass in passes.indices {
                for part in passes[pass].batch.parts.indices {
                    passes[pass].batch.parts[part].group += range.lowerBound
                }
            }
            return Shard(groups: range, passes: passes)
        }
    }

    /// The groups of each shard, by what will be computed of them. Where KL is a part of the reward, that is taken to
    /// be every completion, so that nobody needs the KL of groups that others compute.
    static func shardGroups(_ groups: [CompletionGroup], options: RunOptions) -> [Range<Int>] {
        let count = options.optimizer.shards
        guard count > 1 else { return [groups.indices] }
        let algorithm = options.algorithm
        let inReward = algorithm.klCoefficient != 0 && algorithm.klPlacement == .reward
        let costs = groups.map { group in
            let completions = trainedCompletions(
                of: group, options: algorithm, tokenLimit: options.rollout.sampling.maxNewTokens,
                referenceKL: inReward ? [Double](repeating: 0, count: group.completions.count) : nil)
            let computed = completions.filter { inReward || isRegularized(algorithm) || $0.advantage != 0 }
            let tokens = computed.reduce(0) { $0 + group.completions[$1.index].tokens.count }
            return computed.isEmpty ? 0 : group.prompt.tokens.count + tokens
        }
        return gradientShards(ofCosts: costs, count: count)
    }

    private static func isRegularized(_ algorithm: AlgorithmOptions) -> Bool {
        algorithm.entropyCoefficient != 0 || (algorithm.klCoefficient != 0 && algorithm.klPlacement == .loss)
    }

    /// Whether any completion has a gradient.
    var teaches: Bool { shards.contains { !$0.passes.isEmpty } }

    /// The entropies of the shard's completions, as the sampler measured them.
    func entropies(ofShard index: Int) -> ShardSums {
        var sums = ShardSums()
        for completion in groups[shards[index].groups].flatMap(\.completions) {
            for entropy in completion.entropies { sums.entropySum += Double(entropy) }
            sums.entropyCount += completion.entropies.count
        }
        return sums
    }

    static func temperature(_ options: RunOptions) -> Double {
        let temperature = options.rollout.sampling.temperature
        return temperature > 0 ? temperature : 1
    }

    private static func passes(of shapes: [GroupShape], tokenBudget: Int, precision: Precision) -> [Pass] {
        guard precision == .bfloat16 else {
            return microBatches(of: shapes, tokenBudget: tokenBudget).map { Pass(batch: $0, units: [$0.parts.count]) }
        }
        var passes: [Pass] = []
        for unit in microBatches(of: shapes, tokenBudget: unitTokens) {
            if let last = passes.last, last.tokenCount + unit.tokenCount <= tokenBudget {
                passes[passes.count - 1].batch.parts += unit.parts
                passes[passes.count - 1].batch.tokenCount += unit.tokenCount
                passes[passes.count - 1].units.append(unit.parts.count)
            } else {
                passes.append(Pass(batch: unit, units: [unit.parts.count]))
            }
        }
        return passes
    }

    func sequenceGroups(_ part: Pass) -> [SequenceGroup] {
        part.batch.parts.map { piece in
            SequenceGroup(
                prompt: groups[piece.group].prompt.tokens,
                completions: piece.completions.map { completion(piece.group, $0).tokens })
        }
    }

    /// - Parameter reference: log-probs of the part's tokens under the frozen base policy.
    func tokenBatch(_ part: Pass, reference: [Float]?) -> TokenBatch {
        var sequences: [Range<Int>] = []
        var groupRanges: [Range<Int>] = []
        var old: [Float] = []
        var advantages: [Double] = []
        for piece in part.batch.parts {
            let first = sequences.count
            for place in piece.completions {
                let logProbs = completion(piece.group, place).policyLogProbs
                sequences.append(old.count..<old.count + logProbs.count)
                old += logProbs
                advantages.append(taught[piece.group][place].advantage)
            }
            groupRanges.append(first..<sequences.count)
        }
        return TokenBatch(
            sequences: sequences, groups: groupRanges, oldLogProbs: old, referenceLogProbs: reference,
            advantages: advantages, mask: [Bool](repeating: true, count: old.count))
    }

    /// Places of the pass's groups with a token whose log-prob is not, bit for bit, the sampler's, though the policy
    /// being trained sampled it and all before it. Where weights changed on the way, cached keys and values are
    /// others'.
    /// - Parameters:
    ///   - base: the policy being trained.
    ///   - tokens: the pass's, as `tokenBatch` makes them.
    ///   - logProbs: one per token, as the learner computed them.
    func groups(
        of part: Pass, _ tokens: TokenBatch, differingFrom logProbs: [Float], base: PolicyVersion
    ) -> [Int] {
        guard tokens.oldLogProbs != logProbs else { return [] }
        return zip(part.batch.parts, tokens.groups).compactMap { piece, sequences in
            let isSame = zip(piece.completions, tokens.sequences[sequences]).allSatisfy { place, range in
                tokens.oldLogProbs[range] == logProbs[range] || !isOnPolicy(completion(piece.group, place), base)
                    || !range.contains { Self.differ(tokens.oldLogProbs[$0], logProbs[$0]) }
            }
            return isSame ? nil : piece.group
        }
    }

    private func isOnPolicy(_ completion: Completion, _ base: PolicyVersion) -> Bool {
        completion.versions.allSatisfy { $0 == base }
    }

    /// Whether the importance ratio is not exactly 1.
    private static func differ(_ old: Float, _ new: Float) -> Bool {
        old != new && importanceRatio(logProb: Double(new), oldLogProb: Double(old)).value != 1
    }

    private func completion(_ group: Int, _ place: Int) -> Completion {
        groups[group].completions[taught[group][place].index]
    }

    private static func shapes(_ groups: [CompletionGroup], _ taught: [[TrainedCompletion]]) -> [GroupShape] {
        zip(groups, taught).map { group, completions in
            GroupShape(
                promptTokenCount: group.prompt.tokens.count,
                completionTokenCounts: completions.map { group.completions[$0.index].tokens.count })
        }
    }
}
