// Where RL meets the model: rewards to advantages, log-probs to ∂loss/∂log-prob, and that array into the engine.

import Cluster
import Engine
import PolicyOptimization
import Rollouts
import Weights

package final class LearningWork {
    private let policies: PolicyHolder
    private let options: RunOptions
    private var trainer: Trainer?

    init(policies: PolicyHolder, options: RunOptions) {
        self.policies = policies
        self.options = options
    }

    // MARK: one step of RL

    /// One optimizer update per epoch over the step's groups.
    func train(
        _ assignment: TrainingAssignment, groups: [CompletionGroup], progress: (UInt64) -> Void
    ) throws(ComputeError) -> TrainingReport {
        let trainer = try prepare(assignment.base)
        let clock = ContinuousClock()
        let begin = clock.now
        try check(groups)
        let algorithm = options.algorithm
        let frozen = assignment.reference
        let inReward = algorithm.klCoefficient != 0 && algorithm.klPlacement == .reward
        let inLoss = algorithm.klCoefficient != 0 && algorithm.klPlacement == .loss
        let batch = TrainingBatch(
            groups, options: options, referenceKL: inReward ? try referenceKL(groups, frozen, progress: progress) : nil)
        // The frozen policy's log-probs do not change between epochs.
        var reference: [[Float]] = []
        if inLoss {
            for part in batch.parts { reference.append(try scoreWithReference(batch.sequenceGroups(part), frozen)) }
        }
        var statistics = LossStatistics()
        var loss = 0.0
        var norm = 0.0
        var tokens = 0
        let isExact = options.model.precision == .bfloat16 && Self.isOnPolicy(groups, assignment.base)
        var differing: Set<Int> = []
        for epoch in 0..<(batch.teaches ? algorithm.epochsPerBatch : 0) {
            var epochStatistics = LossStatistics()
            loss = 0
            for (index, part) in batch.parts.enumerated() {
                trainer.accumulate(
                    batch.sequenceGroups(part), units: part.units, temperature: batch.temperature
                ) { scores in
                    let tokens = batch.tokenBatch(part, reference: inLoss ? reference[index] : nil)
                    // Log-probs that are not finite are left to the gradient norm: then the policy itself is broken.
                    if epoch == 0, isExact, scores.logProbs.allSatisfy(\.isFinite) {
                        differing.formUnion(batch.groups(of: part, tokens, differingFrom: scores.logProbs))
                    }
                    let result = batch.loss.evaluate(
                        batch: tokens, logProbs: scores.logProbs, entropies: scores.entropies)
                    loss += result.loss
                    epochStatistics.merge(result.statistics)
                    return TokenGradients(logProbs: result.gradient, entropies: result.entropyGradient)
                }
                tokens += part.tokenCount
                progress(UInt64(tokens))
            }
            if epoch == 0, isExact {
                try checkExact(
                    epochStatistics, step: assignment.step, differing: differing.sorted().map { groups[$0].prompt.key })
            }
            policies.willLearn()
            norm = trainer.update(learningRate: assignment.learningRate)
            guard norm.isFinite else { throw ComputeError.gradientNotFinite(step: assignment.step) }
            // The ratio of the first epoch says how exactly the learner sees what the sampler saw; later epochs
            // move away on purpose, and their clipping is what counts there.
            if epoch == 0 {
                statistics = epochStatistics
            } else {
                statistics.clippedCount += epochStatistics.clippedCount
            }
        }
        let seconds = (clock.now - begin).inSeconds
        let manifest = try publish(
            version: PolicyVersion(UInt64(assignment.step)), changed: batch.teaches, optimizer: assignment.checkpoint)
        return TrainingReport(
            step: assignment.step, manifest: manifest,
            metrics: [
                .init(name: "kl_mean", value: inLoss ? statistics.klMean : statistics.movementMean),
                .init(name: "importance_ratio_max", value: batch.teaches ? statistics.ratioMax : 1),
                .init(name: "clip_share", value: statistics.clippedShare / Double(max(1, algorithm.epochsPerBatch))),
                .init(name: "entropy_mean", value: entropyMean(groups)),
                .init(name: "gradient_norm", value: norm),
                .init(name: "loss", value: loss),
                .init(name: "tokens_learned", value: Double(tokens)),
                .init(name: "learn_tokens_per_second", value: seconds > 0 ? Double(tokens) / seconds : 0),
            ])
    }

    private static func isOnPolicy(_ groups: [CompletionGroup], _ base: PolicyVersion) -> Bool {
        groups.allSatisfy { $0.completions.allSatisfy { $0.versions.allSatisfy { $0 == base } } }
    }

    /// In exact arithmetic the learner's log-probs of the policy that sampled are the sampler's, bit for bit: nothing
    /// is learned from numbers that are not.
    /// - Parameter differing: groups with another log-prob than the learner's.
    private func checkExact(
        _ statistics: LossStatistics, step: Int, differing: [GroupKey]
    ) throws(ComputeError) {
        guard !differing.isEmpty, statistics.ratioMin != 1 || statistics.ratioMax != 1 else { return }
        // The learner's weights are as they were, but not its gradients: the next order begins with a new trainer.
        trainer = nil
        throw ComputeError.disputed(
            differing,
            "step \(step): the importance ratio of tokens sampled from the policy being trained is between "
                + "\(statistics.ratioMin) and \(statistics.ratioMax), exactly 1 expected under `model.precision: "
                + "bfloat16`; check that all workers are of the same build, that none has changed weights in memory, "
                + "and what `worker info` says of each one's kernels; `precision: float32` trains without this check")
    }

    /// What arrived must fit the model: a coordinator's mistake must not become a trap here.
    private func check(_ groups: [CompletionGroup]) throws(ComputeError) {
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

    /// Mean entropy in nats over all completion tokens, as the sampler measured it.
    private func entropyMean(_ groups: [CompletionGroup]) -> Double {
        var sum = 0.0
        var count = 0
        for completion in groups.flatMap(\.completions) {
            for entropy in completion.entropies { sum += Double(entropy) }
            count += completion.entropies.count
        }
        return count == 0 ? 0 : sum / Double(count)
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
    func restart() { trainer = nil }

    /// The trainer over the weights of `version`, with the optimizer state that belongs to them.
    private func prepare(_ version: PolicyVersion) throws(ComputeError) -> Trainer {
        if let trainer, policies.learningManifest?.version == version { return trainer }
        let parameters = try policies.takeForLearning(version, samplingApart: options.schedule.lag > 0)
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
            // After a loss of power a run goes on from a checkpoint; only a lag needs versions beside it.
            manifest = try policies.writeSnapshot(
                version: version, format: format, durable: optimizer || options.schedule.lag > 0)
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
    private func referenceKL(
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

    private func scoreWithReference(
        _ groups: [SequenceGroup], _ reference: PolicyManifest?
    ) throws(ComputeError) -> [Float] {
        guard let reference else {
            throw ComputeError.text("the recipe has a KL term, but the order to train names no reference policy")
        }
        let model = policies.model(over: try policies.referenceParameters(reference))
        return model.score(groups, temperature: TrainingBatch.temperature(options)).logProbs
    }
}
