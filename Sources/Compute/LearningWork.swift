// Where RL meets the model: rewards to advantages, log-probs to ∂loss/∂log-prob, and that array into the engine.

import Cluster
import Engine
import PolicyOptimization
import Rollouts
import Weights

package final class LearningWork {
    private let policies: PolicyHolder
    private let options: RunOptions
    private let threads: ThreadPool
    private var trainer: Trainer?
    /// The base policy, kept for KL.
    private var base: PolicyManifest?

    init(policies: PolicyHolder, options: RunOptions, threads: ThreadPool) {
        self.policies = policies
        self.options = options
        self.threads = threads
    }

    // MARK: one step of RL

    /// One optimizer update per epoch over the step's groups.
    func train(
        _ assignment: TrainingAssignment, groups: [CompletionGroup], progress: (UInt64) -> Void
    ) throws(ComputeError) -> TrainingReport {
        let trainer = try prepare(assignment.base)
        let clock = ContinuousClock()
        let begin = clock.now
        let batch = try TrainingBatch(
            groups, options: options, contextTokens: policies.config.contextTokens,
            vocabularySize: policies.config.vocabularySize)
        var statistics = PolicyLossResult.Statistics()
        var loss = 0.0
        var norm = 0.0
        var tokens = 0
        if batch.teaches {
            let reference = try referenceLogProbs(batch)
            policies.willLearn()
            for epoch in 0..<max(1, options.algorithm.epochsPerBatch) {
                var epochStatistics = PolicyLossResult.Statistics()
                loss = 0
                for part in batch.microBatches(tokenBudget: options.optimizer.tokenBudget) {
                    trainer.accumulate(part.sequenceGroups, temperature: batch.temperature) { scores in
                        let result = batch.loss.evaluate(
                            batch: part.tokenBatch(reference: reference), logProbs: scores.logProbs,
                            entropies: scores.entropies)
                        loss += result.loss
                        epochStatistics.merge(result.statistics)
                        return TokenGradients(logProbs: result.gradient, entropies: result.entropyGradient)
                    }
                    tokens += part.tokenCount
                    progress(UInt64(tokens))
                }
                norm = trainer.update(learningRate: assignment.learningRate)
                guard norm.isFinite else { throw ComputeError.gradientNotFinite(step: assignment.step) }
                // The first epoch's figures say how far the learner is from the sampler; later ones drift on purpose.
                if epoch == 0 { statistics = epochStatistics } else { statistics.mergeLaterEpoch(epochStatistics) }
            }
        }
        let seconds = (clock.now - begin).inSeconds
        let manifest = try publish(
            version: PolicyVersion(UInt64(assignment.step)), changed: batch.teaches, optimizer: assignment.checkpoint)
        return TrainingReport(
            step: assignment.step, manifest: manifest,
            metrics: [
                .init(name: "kl_mean", value: statistics.klMean),
                .init(name: "importance_ratio_max", value: statistics.ratioMax),
                .init(name: "clip_share", value: statistics.clipShare),
                .init(name: "entropy_mean", value: batch.entropyMean),
                .init(name: "gradient_norm", value: norm),
                .init(name: "loss", value: loss),
                .init(name: "tokens_learned", value: Double(tokens)),
                .init(name: "learn_tokens_per_second", value: seconds > 0 ? Double(tokens) / seconds : 0),
            ])
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
        let manifest = try publish(version: .base, changed: true, optimizer: false)
        base = manifest
        return TrainingReport(
            step: 0, manifest: manifest,
            metrics: [.init(name: "loss", value: loss), .init(name: "pretraining_steps", value: Double(stepCount))])
    }

    // MARK: state

    /// The trainer over the weights of `version`, with the optimizer state that belongs to them.
    private func prepare(_ version: PolicyVersion) throws(ComputeError) -> Trainer {
        if let trainer, policies.learningManifest?.version == version { return trainer }
        let parameters = try policies.takeForLearning(version, samplingApart: options.schedule.lag > 0)
        let made = Trainer(
            model: TransformerModel(parameters: parameters, threads: threads), options: options.optimizer)
        if let optimizer = policies.learningManifest?.optimizer {
            made.updateCount = try policies.wrap {
                try OptimizerSnapshot.read(
                    policies.blobs.path(for: optimizer), config: policies.config, firstMoment: made.firstMoment,
                    secondMoment: made.secondMoment)
            }
        }
        if version == .base { base = policies.learningManifest }
        trainer = made
        return made
    }

    private func publish(
        version: PolicyVersion, changed: Bool, optimizer: Bool
    ) throws(ComputeError) -> PolicyManifest {
        var manifest: PolicyManifest
        if !changed, let held = policies.learningManifest {
            manifest = held
            manifest.version = version
            manifest.optimizer = nil
        } else {
            manifest = try policies.writeSnapshot(version: version)
        }
        if optimizer, let trainer {
            manifest.optimizer = try policies.wrap {
                try OptimizerSnapshot.write(
                    config: policies.config, firstMoment: UnsafeBufferPointer(trainer.firstMoment),
                    secondMoment: UnsafeBufferPointer(trainer.secondMoment), updateCount: trainer.updateCount,
                    to: policies.blobs)
            }
        }
        policies.learned(manifest)
        return manifest
    }

    /// Log-probs of the batch under the base policy, where the recipe has a KL term.
    private func referenceLogProbs(_ batch: TrainingBatch) throws(ComputeError) -> [Float]? {
        guard options.algorithm.klCoefficient > 0, options.algorithm.klPlacement == .loss else { return nil }
        return try scoreWithReference(batch)
    }

    private func scoreWithReference(_ batch: TrainingBatch) throws(ComputeError) -> [Float] {
        guard let base else {
            throw ComputeError.text("the base policy for the KL term is not held; restart the learner")
        }
        let model = TransformerModel(parameters: try policies.referenceParameters(base), threads: threads)
        var logProbs: [Float] = []
        for part in batch.microBatches(tokenBudget: options.optimizer.tokenBudget) {
            logProbs += model.score(part.sequenceGroups, temperature: batch.temperature).logProbs
        }
        return logProbs
    }
}
