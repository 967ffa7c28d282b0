// Where RL meets the model: rewards to advantages, log-probs to ∂loss/∂log-prob, and that array into the engine.

import Cluster
import Engine
import PolicyOptimization
import Rollouts
import Weights

package final class LearningWork {
    let policies: PolicyHolder
    let options: RunOptions
    private var trainer: Trainer?
    var kept: KeptGradients?
    var helping: HelpingLearner?

    init(policies: PolicyHolder, options: RunOptions) {
        self.policies = policies
        self.options = options
    }

    // MARK: one step of RL

    /// One optimizer update per epoch over the step's groups, or one from the parts of their gradient.
    func train(
        _ assignment: TrainingAssignment, groups: [CompletionGroup], progress: (UInt64) -> Void
    ) throws(ComputeError) -> TrainingReport {
        let trainer = try prepare(assignment.base)
        let clock = ContinuousClock()
        let begin = clock.now
        let learned = try assignment.parts.isEmpty
            ? learn(assignment, groups, trainer, progress: progress) : learn(assignment, ofParts: trainer)
        let seconds = (clock.now - begin).inSeconds
        let (sums, teaches) = (learned.sums, learned.sums.tokenCount > 0)
        let manifest = try publish(
            version: PolicyVersion(UInt64(assignment.step)), changed: teaches, optimizer: assignment.checkpoint)
        let algorithm = options.algorithm
        let inLoss = algorithm.klCoefficient != 0 && algorithm.klPlacement == .loss
        let statistics = sums.statistics
        return TrainingReport(
            step: assignment.step, manifest: manifest,
            metrics: [
                .init(name: "kl_mean", value: inLoss ? statistics.klMean : statistics.movementMean),
                .init(name: "importance_ratio_max", value: teaches ? statistics.ratioMax : 1),
                .init(name: "clip_share", value: statistics.clippedShare / Double(max(1, algorithm.epochsPerBatch))),
                .init(name: "entropy_mean", value: sums.entropyMean),
                .init(name: "gradient_norm", value: learned.norm),
                .init(name: "loss", value: sums.loss),
                .init(name: "tokens_learned", value: Double(sums.tokenCount)),
                .init(name: "learn_tokens_per_second", value: seconds > 0 ? Double(sums.tokenCount) / seconds : 0),
            ])
    }

    /// What the updates of one step add up to: `norm` of the last one.
    private struct Learned {
        var sums = ShardSums()
        var norm = 0.0
    }

    private func learn(
        _ assignment: TrainingAssignment, _ groups: [CompletionGroup], _ trainer: Trainer, progress: (UInt64) -> Void
    ) throws(ComputeError) -> Learned {
        try check(groups)
        kept = nil
        let shards = ShardRange.whole(options.optimizer.shards)
        let step = try stepGradient(
            groups, of: shards, trainer: trainer, base: assignment.base, reference: assignment.reference,
            progress: progress)
        var learned = Learned()
        guard step.batch.teaches else {
            for shard in shards.shards { learned.sums.merge(step.batch.entropies(ofShard: shard)) }
            return learned
        }
        for epoch in 0..<options.algorithm.epochsPerBatch {
            let sums = try step.sum(shards, checking: epoch == 0 && isExact, progress: progress)
            if epoch == 0, isExact {
                do throws(ComputeError) {
                    try checkExact(sums.statistics, step: assignment.step, differing: keys(step.differing, of: groups))
                } catch {
                    // The learner's weights are as they were; its gradients are made to be.
                    trainer.clearGradients()
                    throw error
                }
            }
            learned.norm = try update(assignment, trainer)
            // The ratio of the first epoch says how exactly the learner sees what the sampler saw; later epochs
            // move away on purpose, and their clipping is what counts there.
            if epoch == 0 {
                learned.sums = sums
            } else {
                learned.sums.statistics.clippedCount += sums.statistics.clippedCount
                learned.sums.tokenCount += sums.tokenCount
                learned.sums.loss = sums.loss
            }
        }
        return learned
    }

    private func learn(_ assignment: TrainingAssignment, ofParts trainer: Trainer) throws(ComputeError) -> Learned {
        let sums: ShardSums
        do throws(ComputeError) {
            sums = try sum(assignment.parts, trainer: trainer)
        } catch {
            // Half a sum is none.
            trainer.clearGradients()
            throw error
        }
        guard sums.tokenCount > 0 else {
            trainer.clearGradients()
            return Learned(sums: sums)
        }
        return Learned(sums: sums, norm: try update(assignment, trainer))
    }

    private func update(_ assignment: TrainingAssignment, _ trainer: Trainer) throws(ComputeError) -> Double {
        policies.willLearn()
        let norm = trainer.update(learningRate: assignment.learningRate)
        guard norm.isFinite else { throw ComputeError.gradientNotFinite(step: assignment.step) }
        return norm
    }

    /// Whether the log-probs of the policy being trained must be the sampler's, bit for bit.
    var isExact: Bool { options.model.precision == .bfloat16 }

    /// In exact arithmetic the learner's log-probs of the policy that sampled are the sampler's, bit for bit: nothing
    /// is learned from numbers that are not.
    /// - Parameters:
    ///   - differing: groups with another log-prob than the learner's.
    func checkExact(
        _ statistics: LossStatistics, step: Int, differing: [GroupKey]
    ) throws(ComputeError) {
        guard !differing.isEmpty else { return }
        throw ComputeError.disputed(
            differing,
            "step \(step): the importance ratio of tokens sampled from the policy being trained is between "
                + "\(statistics.ratioMin) and \(statistics.ratioMax), exactly 1 expected under `model.precision: "
                + "bfloat16`; check that all workers are of the same build, that none has changed weights in memory, "
                + "and what `worker info` says of each one's kernels; `precision: float32` trains without this check")
    }

    /// What arrived must fit the model: a coordinator's mistake must not become a trap here.
    func check(_ groups: [CompletionGroup]) throws(ComputeError) {
        let config = policies.config
        let inside: (Int32) -> Bool = { $0 >= 0 && $0 < config.vocabularySize }
        for group in groups {
            guard !group.prompt.tokens.isEmpty, group.prompt.tokens.allSatisfy(inside),
                group.verdicts.count == group.completions.count, group.rewards.count == group.completions.count
            else { throw ComputeError.text("group \(group.prompt.key) of the batch is not well-formed") }
            for completion in group.completions {
                guard completion.tokens.allSatisfy(inside), completion.policyLogProbs.count == completion.tokens.count,
                    group.prompt.tokens.count + completion.tokens.count <= config.contextTokens
                else { throw ComputeError.text("a completion of group \(group.prompt.key) is not well-formed") }
            }
        }
    }

    func keys(_ places: Set<Int>, of groups: [CompletionGroup]) -> [GroupKey] {
        places.sorted().map { groups[$0].prompt.key }
    }

    /// Weights and optimizer state of the version held.
    func checkpoint() throws(ComputeError) -> TrainingReport {
        guard let manifest = policies.learningManifest else {
            throw ComputeError.wrongPolicy(held: nil, wanted: .base)
        }
        let saved = try publish(version: manifest.version, changed: false, optimizer: true)
        return TrainingReport(step: Int(manifest.version.rawValue), manifest: saved, metrics: [])
    }

    // MARK: pre-training

    /// Next-token training; the result is a new base policy (version 0) with fresh optimizer state.
    func pretrain(
        _ assignment: PretrainingAssignment, progress: (UInt64) -> Void
    ) throws(ComputeError) -> TrainingReport {
        let trainer = try prepare(.base)
        policies.willLearn()
        var loss = 0.0
        let perStep = max(1, assignment.sequencesPerStep)
        let stepCount = (assignment.sequences.count + perStep - 1) / perStep
        for step in 0..<stepCount {
            let sequences = assignment.sequences[step * perStep..<min((step + 1) * perStep, assignment.sequences.count)]
                .filter { $0.count > 1 && $0.count <= policies.config.contextTokens }
            let targets = sequences.reduce(0) { $0 + $1.count - 1 }
            guard targets > 0 else { continue }
            loss = 0
            trainer.accumulate(
                sequences.map { SequenceGroup(prompt: [$0[0]], completions: [Array($0.dropFirst())]) }, temperature: 1
            ) { scores in
                loss -= scores.logProbs.reduce(0) { $0 + Double($1) } / Double(targets)
                return TokenGradients(
                    logProbs: [Float](repeating: -1 / Float(targets), count: scores.logProbs.count), entropies: nil)
            }
            // Linear warm-up over a twentieth, then linear decay to a tenth: short runs need both.
            let done = Double(step) / Double(max(1, stepCount))
            let share = min(1, (done + 1 / Double(max(1, stepCount))) * 20) * (1 - 0.9 * done)
            let norm = trainer.update(learningRate: assignment.learningRate * share)
            guard norm.isFinite else { throw ComputeError.gradientNotFinite(step: 0) }
            progress(UInt64(step + 1))
        }
        self.trainer = nil
        // The run begins from what is published, whether its learner was here or not.
        trainer.model.parameters.round(to: format)
        let manifest = try publish(version: .base, changed: true, optimizer: false)
        return TrainingReport(
            step: 0, manifest: manifest,
            metrics: [.init(name: "loss", value: loss), .init(name: "pretraining_steps", value: Double(stepCount))])
    }

    // MARK: state

    /// Forgets moments and update count: the next step makes them anew.
    func restart() {
        trainer = nil
        kept = nil
    }

    /// The trainer over the weights of `version`, with the optimizer state that belongs to them.
    func prepare(_ version: PolicyVersion) throws(ComputeError) -> Trainer {
        if let trainer, policies.learningManifest?.version == version { return trainer }
        let parameters = try policies.takeForLearning(version, samplingApart: options.schedule.samplesApart)
        let made = Trainer(
            model: policies.model(over: parameters, copies: .passing), options: options.optimizer,
            adapters: try options.lora.map { lora throws(ComputeError) in
                try policies.adapters(lora, seed: options.seed)
            })
        if let optimizer = policies.learningManifest?.optimizer {
            made.updateCount = try policies.wrap {
                try OptimizerSnapshot.read(
                    file: policies.blobs.path(for: optimizer), expecting: optimizer, kind: made.state.kind,
                    into: state(of: made))
            }
            parameters.changed()
        } else if made.adapters == nil {
            parameters.spread(within: format, seed: options.seed, threads: policies.threads)
        }
        trainer = made
        return made
    }

    private var format: SnapshotFormat { SnapshotFormat(options.model.precision) }

    /// All that a later learner needs beside the version's snapshot: moments, and of rounded matrices the float32
    /// numbers that were rounded.
    private func state(of trainer: Trainer) -> [StateTensor] {
        let moments = trainer.state.tensors(of: trainer.shapes)
        guard trainer.adapters == nil else { return moments }
        let parameters = trainer.model.parameters
        return moments + policies.config.tensors.enumerated().filter { format.rounds($0.element) }.map { index, shape in
            StateTensor(
                TensorShape("master.\(shape.name)", shape.dimensions), .float32,
                UnsafeMutableRawBufferPointer(parameters.slice(at: index)))
        }
    }

    private func publish(
        version: PolicyVersion, changed: Bool, optimizer: Bool
    ) throws(ComputeError) -> PolicyManifest {
        var manifest: PolicyManifest
        if !changed, let held = policies.learningManifest {
            manifest = held
            manifest.version = version
            manifest.optimizer = nil
        } else if let adapters = trainer?.adapters {
            manifest = try policies.writeSnapshot(adapters, version: version)
        } else {
            // After a loss of power a run goes on from a checkpoint; only sampling apart needs versions beside it.
            manifest = try policies.writeSnapshot(
                version: version, format: format, durable: optimizer || options.schedule.samplesApart)
        }
        if optimizer, let trainer {
            manifest.optimizer = try policies.wrap {
                try OptimizerSnapshot.write(
                    state(of: trainer), kind: trainer.state.kind, updateCount: trainer.updateCount,
                    to: policies.blobs.directory
                ).blob
            }
        }
        policies.learned(manifest)
        return manifest
    }

    // MARK: the frozen base policy

    /// Per group and completion: Σ (ℓ − ℓ_ref) over its tokens.
    func referenceKL(
        _ groups: [CompletionGroup], _ reference: PolicyManifest?, progress: (UInt64) -> Void
    ) throws(ComputeError) -> [[Double]] {
        var result: [[Double]] = []
        for group in groups {
            let present = group.completions.filter { !$0.tokens.isEmpty }
            let logProbs = present.isEmpty
                ? []
                : try scoreWithReference(
                    [SequenceGroup(prompt: group.prompt.tokens, completions: present.map(\.tokens))], reference)
            var offset = 0
            result.append(
                group.completions.map { completion in
                    let count = completion.tokens.count
                    defer { offset += count }
                    return summedReferenceKL(
                        logProbs: completion.policyLogProbs,
                        referenceLogProbs: Array(logProbs[offset..<offset + count]))
                })
            progress(UInt64(result.count))
        }
        return result
    }

    func scoreWithReference(
        _ groups: [SequenceGroup], _ reference: PolicyManifest?
    ) throws(ComputeError) -> [Float] {
        guard let reference else {
            throw ComputeError.text("the recipe has a KL term, but the order to train names no reference policy")
        }
        let model = policies.model(over: try policies.referenceParameters(reference))
        return model.score(groups, temperature: TrainingBatch.temperature(options)).logProbs
    }
}
