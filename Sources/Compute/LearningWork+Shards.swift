// How learners share a step: parts of its gradient, and the update that is made of them.

import Engine
import PolicyOptimization
import Rollouts
import Weights

/// Parts of one attempt's gradient in the memory of the learner that will make the step.
struct KeptGradients {
    var attempt: UInt64
    var parts: [ShardRange: GradientBuffer] = [:]
}

/// A learner without optimizer state, over the policy that this process holds.
struct HelpingLearner {
    var trainer: Trainer
    var version: PolicyVersion
    var parameters: Parameters
}

extension LearningWork {
    /// - Parameter lease: names the blob.
    func gradient(
        _ assignment: GradientAssignment, groups: [CompletionGroup], lease: LeaseIdentifier,
        progress: (UInt64) -> Void
    ) throws(ComputeError) -> GradientPart {
        try check(groups)
        guard assignment.shards.shards.upperBound <= options.optimizer.shards else {
            throw ComputeError.text(
                "shards \(assignment.shards.shards) were asked for, the recipe has \(options.optimizer.shards)")
        }
        if kept?.attempt != assignment.attempt { kept = nil }
        let trainer = assignment.keep ? try prepare(assignment.base) : try help(from: assignment.base)
        let step = try stepGradient(
            groups, of: assignment.shards, trainer: trainer, base: assignment.base, reference: assignment.reference,
            progress: progress)
        // Nothing else was changed: whatever comes next begins with zeros.
        var isDone = false
        defer { if !isDone { trainer.clearGradients() } }
        let sums = try step.sum(assignment.shards, checking: isExact, progress: progress)
        if isExact {
            try checkExact(sums.statistics, step: assignment.step, differing: keys(step.differing, of: groups))
        }
        var part = GradientPart(shards: assignment.shards, blob: nil, sums: sums.values)
        if assignment.keep {
            var held = kept ?? KeptGradients(attempt: assignment.attempt)
            held.parts[assignment.shards] = trainer.moveGradients()
            kept = held
            isDone = true
        } else {
            part.blob = try policies.wrap {
                try GradientSnapshot.write(
                    trainer.gradientSum, shards: assignment.shards, lease: lease, to: policies.blobs.directory)
            }
        }
        return part
    }

    /// What the whole step needs before its gradient can be computed.
    /// - Parameter shards: those that will be.
    func stepGradient(
        _ groups: [CompletionGroup], of shards: ShardRange, trainer: Trainer, base: PolicyVersion,
        reference: PolicyManifest?, progress: (UInt64) -> Void
    ) throws(ComputeError) -> StepGradient {
        let algorithm = options.algorithm
        let ranges = TrainingBatch.shardGroups(groups, options: options)
        var referenceKL: [[Double]]?
        if algorithm.klCoefficient != 0, algorithm.klPlacement == .reward {
            var sums = groups.map { [Double](repeating: 0, count: $0.completions.count) }
            // The others' advantages are not needed here, and no loss depends on them.
            for range in ranges[shards.shards] where !range.isEmpty {
                sums.replaceSubrange(
                    range, with: try self.referenceKL(Array(groups[range]), reference, progress: progress))
            }
            referenceKL = sums
        }
        let batch = TrainingBatch(groups, options: options, shards: ranges, referenceKL: referenceKL)
        let inLoss = algorithm.klCoefficient != 0 && algorithm.klPlacement == .loss
        return StepGradient(
            batch, trainer: trainer, base: base,
            score: inLoss
                ? { [self] groups throws(ComputeError) in try scoreWithReference(groups, reference) } : nil)
    }

    /// Adds the parts that this learner kept and those of others, in the tree's order.
    func sum(_ parts: [GradientPart], trainer: Trainer) throws(ComputeError) -> ShardSums {
        var tree = GradientTree(trainer)
        let sums = try tree.sum(.whole(options.optimizer.shards)) { node throws(ComputeError) in
            guard let part = parts.first(where: { $0.shards == node }) else {
                if node.count > 1 { return .halved }
                throw ComputeError.text("no part of the gradient has shard \(node.first)")
            }
            return .held(try ShardSums(part.sums, of: node)) { [self] use throws(ComputeError) in
                try lend(part, of: trainer.gradientCount, to: use)
            }
        }
        kept = nil
        return sums
    }

    private func lend(
        _ part: GradientPart, of count: Int, to use: (UnsafeBufferPointer<Float>) -> Void
    ) throws(ComputeError) {
        if let blob = part.blob {
            return try policies.wrap {
                try GradientSnapshot.read(
                    file: policies.blobs.path(for: blob), shards: part.shards, count: count, use)
            }
        }
        guard let buffer = kept?.parts[part.shards] else { throw ComputeError.partNotHeld(part.shards) }
        use(buffer.values)
    }

    /// A trainer over the weights held for sampling, for gradients alone.
    private func help(from version: PolicyVersion) throws(ComputeError) -> Trainer {
        let (held, manifest) = try policies.wholeSampling(version)
        // Adapters are other numbers in each version; whole weights are where they were.
        if let helping, helping.parameters === held, options.lora == nil || helping.version == version {
            return helping.trainer
        }
        helping = nil
        let made = Trainer(
            model: policies.model(over: held, copies: .passing), options: options.optimizer,
            adapters: try options.lora.map { lora throws(ComputeError) in
                try policies.adapters(lora, of: manifest, seed: options.seed)
            })
        helping = HelpingLearner(trainer: made, version: version, parameters: held)
        return made
    }
}
