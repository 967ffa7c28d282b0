// One step's gradient: sums over micro-batches, added over shards in one tree, whoever computes which of them.

import Engine
import PolicyOptimization
import Rollouts
import Weights

/// Where a node of the tree comes from.
enum GradientNode {
    /// The trainer's gradients hold it now.
    case summed(ShardSums)
    /// It lies elsewhere; `use` lends its numbers once.
    case held(ShardSums, use: ((UnsafeBufferPointer<Float>) -> Void) throws(ComputeError) -> Void)
    /// It is the sum of its halves.
    case halved
}

/// Adds nodes depth-first: at most log2(shards) + 1 gradients are in memory.
struct GradientTree {
    let trainer: Trainer
    private var spare: [GradientBuffer] = []

    init(_ trainer: Trainer) { self.trainer = trainer }

    /// Leaves the node's sum in the trainer's gradients, which are zeros before.
    mutating func sum(
        _ node: ShardRange, _ source: (ShardRange) throws(ComputeError) -> GradientNode
    ) throws(ComputeError) -> ShardSums {
        switch try source(node) {
        case .summed(let sums):
            return sums
        case .held(let sums, let use):
            try use { trainer.setGradients($0) }
            return sums
        case .halved:
            guard let (left, right) = node.halves else { preconditionFailure("shard \(node.first) has no halves") }
            var sums = try sum(left, source)
            let aside = trainer.moveGradients(into: spare.popLast())
            sums.merge(try sum(right, source))
            trainer.addGradients(aside.values)
            spare.append(aside)
            return sums
        }
    }
}

/// Computes shards of one step's batch into a trainer's gradients.
final class StepGradient {
    let batch: TrainingBatch
    private let trainer: Trainer
    /// The policy being trained.
    private let base: PolicyVersion
    /// Log-probs under the frozen base policy; nil where the loss has no KL term.
    private let score: (([SequenceGroup]) throws(ComputeError) -> [Float])?
    /// By shard: the frozen policy's log-probs do not change between epochs.
    private var reference: [Int: [[Float]]] = [:]
    /// Groups with a log-prob of the policy being trained that is not the sampler's.
    private(set) var differing: Set<Int> = []
    private(set) var tokenCount = 0

    init(
        _ batch: TrainingBatch, trainer: Trainer, base: PolicyVersion,
        score: (([SequenceGroup]) throws(ComputeError) -> [Float])?
    ) {
        self.batch = batch
        self.trainer = trainer
        self.base = base
        self.score = score
    }

    /// Leaves the sum over these shards in the trainer's gradients, which are zeros before.
    /// - Parameter checking: look for groups that differ.
    func sum(
        _ shards: ShardRange, checking: Bool, progress: (UInt64) -> Void
    ) throws(ComputeError) -> ShardSums {
        var tree = GradientTree(trainer)
        return try tree.sum(shards) { node throws(ComputeError) in
            node.count == 1 ? .summed(try shard(node.first, checking: checking, progress: progress)) : .halved
        }
    }

    private func shard(
        _ index: Int, checking: Bool, progress: (UInt64) -> Void
    ) throws(ComputeError) -> ShardSums {
        let passes = batch.shards[index].passes
        if let score, reference[index] == nil {
            var scores: [[Float]] = []
            for pass in passes { scores.append(try score(batch.sequenceGroups(pass))) }
            reference[index] = scores
        }
        var sums = batch.entropies(ofShard: index)
        for (place, pass) in passes.enumerated() {
            trainer.accumulate(
                batch.sequenceGroups(pass), units: pass.units, temperature: batch.temperature
            ) { scores in
                let tokens = batch.tokenBatch(pass, reference: reference[index]?[place])
                // Log-probs that are not finite are left to the gradient norm: then the policy itself is broken.
                if checking, scores.logProbs.allSatisfy(\.isFinite) {
                    differing.formUnion(batch.groups(of: pass, tokens, differingFrom: scores.logProbs, base: base))
                }
                let result = batch.loss.evaluate(
                    batch: tokens, logProbs: scores.logProbs, entropies: scores.entropies)
                sums.loss += result.loss
                sums.statistics.merge(result.statistics)
                return TokenGradients(logProbs: result.gradient, entropies: result.entropyGradient)
            }
            sums.tokenCount += pass.tokenCount
            tokenCount += pass.tokenCount
            progress(UInt64(tokenCount))
        }
        return sums
    }
}
