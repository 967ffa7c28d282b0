// How a batch becomes a policy, and what happens when the learner is lost.

import Rollouts

extension Coordinator {
    /// The policy the next update starts from.
    private var trainingBase: PolicyManifest? {
        progress.trainedStep == progress.checkpoint.step
            ? progress.checkpoint.manifest : publication.manifest(of: PolicyVersion(UInt64(progress.trainedStep)))
    }

    /// Starts pre-training or the next step, or gets a learner ready for it.
    /// - Returns: a worker that must finish its groups first and gets no new ones.
    mutating func advanceTraining() -> String? {
        guard training.running == nil, !progress.isPaused, !progress.isFinished, let base = trainingBase,
            pretraining != nil || progress.trainedStep < progress.stepCount
        else { return nil }
        if gradients.shared != nil {
            advanceGradients()
            return nil
        }
        let next = progress.trainedStep + 1
        let isReady = pretraining != nil || (isEvaluated && buffer[next]?.isClosed == true)
        // A learner that also samples is looked at only when it is needed as a learner.
        guard isReady || membership.mereLearnerCount > 0 else { return nil }
        guard let learner = chosenLearner(from: base) else { return nil }
        prepareHelpers(of: learner.name, from: base)
        if learner.isAtWork(on: base) {
            guard isReady, !shareGradient(of: next, leader: learner.name, base: base) else { return nil }
            start(pretraining == nil ? .train(step: next) : .pretrain, on: learner.name)
            return nil
        }
        // A learner that also samples changes its policy only when it is needed as a learner.
        guard isReady || !learner.isSampler, learner.mayLoad(at: now) else { return nil }
        if rollouts.book.heldCount(of: learner.name) > 0 { return learner.name }
        sendPolicy(base, to: learner.name)
        return nil
    }

    /// The learner that holds the optimizer state; else the one that is nearest to starting from the base policy.
    private func chosenLearner(from base: PolicyManifest) -> Worker? {
        let holder = membership.learned.first { place in
            let worker = membership.workers[place]
            return worker.isLearner && !worker.isDraining && worker.hasLearned(base)
        }
        if let holder { return membership.workers[holder].isReachable ? membership.workers[holder] : nil }
        func rank(_ worker: Worker) -> (Int, Int) {
            let isFaulty = worker.rests(at: now) || worker.policyFailureCount > 0
            let distance = worker.policy == .ready(base) ? 0 : worker.isLoading(base) ? 1 : 2
            return (isFaulty ? 1 : 0, distance)
        }
        let workers = membership.workers
        return membership.learners.filter { workers[$0].takesWork }.min { rank(workers[$0]) < rank(workers[$1]) }
            .map { workers[$0] }
    }

    /// - Parameters:
    ///   - parts: the step's gradient, where several learners computed it.
    ///   - begin: when they began.
    mutating func start(
        _ order: TrainingStep.Order, on worker: String, of parts: [GradientPart] = [], since begin: MonotonicTime? = nil
    ) {
        var learningRate = 0.0
        var wantsCheckpoint = false
        switch order {
        case .pretrain:
            learningRate = pretraining?.learningRate ?? 0
        case .train(let step):
            learningRate = LearningRate.rate(step: step, of: progress.stepCount, options: options.optimizer)
            wantsCheckpoint = progress.wantsCheckpoint(at: step)
        case .save:
            wantsCheckpoint = true
        }
        let lease = leases.next(for: worker, at: now, afterExpiries: training.expiryCount)
        let running = TrainingStep.Running(
            order: order, lease: lease, startedAt: begin ?? now, learningRate: learningRate,
            wantsCheckpoint: wantsCheckpoint, parts: parts)
        training.start(running)
        sendOrder(running)
    }

    private mutating func sendOrder(_ running: TrainingStep.Running) {
        let worker = running.lease.worker
        let lease = running.lease.identifier
        switch running.order {
        case .pretrain:
            if let pretraining { send(.pretrain(lease: lease, pretraining), toWorker: worker) }
        case .save:
            send(.saveCheckpoint(lease: lease), toWorker: worker)
        case .train(let step):
            let groupCount = running.parts.isEmpty ? sendGroups(of: step, under: lease, to: worker) : 0
            let assignment = TrainingAssignment(
                step: step, base: PolicyVersion(UInt64(step - 1)), groupCount: groupCount,
                learningRate: running.learningRate, checkpoint: running.wantsCheckpoint,
                reference: options.algorithm.klCoefficient == 0 || groupCount == 0 ? nil : reference,
                parts: running.parts)
            send(.train(lease: lease, assignment), toWorker: worker)
        }
    }

    /// - Returns: how many.
    @discardableResult
    mutating func sendGroups(of step: Int, under lease: LeaseIdentifier, to worker: String) -> Int {
        guard let batch = buffer[step] else { preconditionFailure("step \(step) has no batch to train") }
        let shuffleSeed = options.verifier.shuffle ? options.seed : nil
        for ordinal in batch.trainable {
            let group = batch.groups[ordinal].completionGroup(shuffleSeed: shuffleSeed)
            send(.trainingGroup(lease: lease, group), toWorker: worker)
        }
        return batch.trainable.count
    }

    /// The learner is back over a new connection: what was sent over the old one may be lost.
    mutating func renewTraining(with worker: String) {
        guard training.running?.lease.worker == worker else { return }
        training.renew(leases.next(for: worker, at: now, afterExpiries: training.expiryCount))
        if let running = training.running { sendOrder(running) }
    }

    mutating func takeTraining(_ lease: LeaseIdentifier, _ report: TrainingReport, from worker: String) {
        guard let running = training.running, running.answers(to: lease), running.lease.worker == worker else {
            return dismiss(lease, from: worker)
        }
        if let fault = training.fault(in: report, saved: publication.manifest(of: report.manifest.version)) {
            send(.acknowledge(lease: lease), toWorker: worker)
            failTraining("`\(worker)`: \(fault)", retryable: true)
            return strike(worker, because: "trained unusably: \(fault)")
        }
        if let value = report.metrics.first(where: { !$0.value.isFinite }) {
            return stop(
                .failed(
                    step: progress.checkpoint.step,
                    reason: "step \(report.step): the learner's \(value.name) is \(value.value); "
                        + "lower optimizer.learning_rate or optimizer.gradient_clip"))
        }
        training.finish()
        let learnerCount = gradients.shared?.learners.count ?? 1
        membership.update(worker) {
            // After pre-training the optimizer starts afresh, from the policy made, whoever made it.
            $0.learned = running.order == .pretrain ? nil : report.manifest
            $0.restUntil = nil
            if case .train = running.order { $0.stepCount += 1 }
        }
        switch running.order {
        case .pretrain: finishPretraining(report)
        case .train: finishStep(report, running, learnerCount: learnerCount)
        case .save: becomeCheckpoint(report.manifest)
        }
        endGradients()
        send(.acknowledge(lease: lease), toWorker: worker)
    }

    private mutating func finishPretraining(_ report: TrainingReport) {
        pretraining = nil
        reference = report.manifest
        progress.checkpoint.manifest = report.manifest
        forgetProofs(from: .base)
        persist(.checkpointed(progress.checkpoint))
        progress.lastStepAt = now
        note(.info, "pre-training is done")
        publishBase()
    }

    private mutating func finishStep(
        _ report: TrainingReport, _ running: TrainingStep.Running, learnerCount: Int
    ) {
        guard let batch = buffer[report.step] else { preconditionFailure("step \(report.step) has no batch") }
        let manifest = report.manifest
        withdrawIfContradicted(by: manifest)
        let measurement = StepMeasurement(
            batch: batch, report: report, learningRate: running.learningRate,
            secondsLearn: (now - running.startedAt).inSeconds,
            secondsPublish: publication.publishingTime(of: batch.version).inSeconds,
            seconds: progress.lastStepAt.map { (now - $0).inSeconds } ?? 0,
            workerCount: membership.workers.count,
            learnerCount: options.optimizer.shards > 1 ? learnerCount : nil, isInflight: progress.isInflight)
        let metrics = measurement.metrics()
        persist(
            .stepTrained(
                metrics, manifest: manifest, groups: batch.trainable.map { batch.groups[$0].prompt.key },
                nextPosition: batch.nextPosition))
        publication.becomeDurable(manifest.version)
        progress.trainedStep = report.step
        progress.lastStepAt = now
        outbox.append(.report(metrics))
        publication.publish(manifest, at: now)
        if running.wantsCheckpoint { becomeCheckpoint(manifest, nextPosition: batch.nextPosition) }
        buffer.shed(trainedThrough: progress.trainedStep)
    }

    private mutating func becomeCheckpoint(_ manifest: PolicyManifest, nextPosition: Int? = nil) {
        let step = progress.trainedStep
        let position = nextPosition ?? buffer[step]?.nextPosition ?? progress.checkpoint.nextPosition
        progress.checkpoint = Checkpoint(step: step, manifest: manifest, nextPosition: position)
        persist(.checkpointed(progress.checkpoint))
        publication.publish(manifest, at: now)
        buffer.forget(through: step)
        publication.forget(before: progress.oldestNeededVersion)
        outbox.append(.forgetBlobs(before: progress.oldestNeededVersion))
    }

    /// Training a step again on another kind of machine may give other weights. Then everything sampled with the old
    /// ones is void, so that no token is trained with another policy than the one that sampled it.
    private mutating func withdrawIfContradicted(by manifest: PolicyManifest) {
        guard let earlier = publication.contradiction(of: manifest) else { return }
        fault(
            .steppedBack,
            "step \(manifest.version.rawValue) trained again gave weights \(manifest.weightsHash), before \(earlier): "
                + "this learner computes differently; what was sampled with the old weights is sampled again")
        publication.withdraw(from: manifest.version)
        forgetProofs(from: manifest.version)
        let void = buffer.void { progress.versions(for: $0).upperBound >= manifest.version }
        accepted.removeAll { group in
            group.completions.contains { $0.versions.contains { $0 >= manifest.version } }
        }
        for group in void.flatMap(\.groups) {
            persist(.groupDropped(group.prompt.key, reason: "its policy is void"))
        }
        abandonUnits { key in key.purpose == .training && void.contains { $0.step == key.step } }
    }

    mutating func failTraining(_ reason: String, retryable: Bool) {
        guard let running = training.running else { return }
        endGradients()
        counters.faultCount += 1
        let lease = running.lease
        fault(.trainingFailed, "training failed: \(reason)", of: lease.worker, lease: lease.identifier)
        // Its state may be half-way: only a checkpoint is safe to start from.
        membership.update(running.lease.worker) { [now, leaseLength] in
            $0.learned = nil
            $0.restUntil = now + leaseLength
        }
        let mayRetry = training.fail()
        guard retryable, mayRetry else {
            return giveUpStep(reason)
        }
    }

    /// What was tried often enough, or cannot be done anywhere.
    mutating func giveUpStep(_ reason: String) {
        guard !progress.isStopping else { return }
        stop(
            .failed(
                step: progress.checkpoint.step,
                reason: "step \(progress.trainedStep + 1) cannot be trained: \(reason); mend it and resume"))
    }

    /// Stores the optimizer state of the newest weights, when their learner can be reached.
    mutating func saveCheckpoint() {
        guard let base = publication.manifest(of: PolicyVersion(UInt64(progress.trainedStep))) else { return }
        guard let place = membership.learned.first(where: { membership.workers[$0].hasLearned(base) }) else { return }
        let holder = membership.workers[place]
        if holder.isReachable { start(.save(step: progress.trainedStep), on: holder.name) }
    }

    /// No worker has the optimizer state of the last trained step any more: back to the checkpoint. The batches since
    /// then are kept and trained again, which gives the same weights.
    mutating func rewindIfOrphaned() {
        let checkpoint = progress.checkpoint
        guard progress.trainedStep > checkpoint.step,
            let newest = publication.manifest(of: PolicyVersion(UInt64(progress.trainedStep))),
            !membership.learned.contains(where: { place in
                membership.workers[place].isLearner && membership.workers[place].hasLearned(newest)
            })
        else { return }
        fault(
            .steppedBack, "the learner of step \(progress.trainedStep) is lost; going back to step \(checkpoint.step)")
        if let running = training.running {
            send(.cancel(lease: running.lease.identifier), toWorker: running.lease.worker)
            training.stop()
        }
        training.forgetExpiries()
        endGradients()
        abandonUnits { $0.purpose == .evaluation }
        evaluation.abandon()
        evaluation.rewind(to: checkpoint.step)
        progress.trainedStep = checkpoint.step
        progress.lastStepAt = now
        if !progress.isStopping { buffer.reopen(after: checkpoint.step) }
        outbox.append(.rewind(toStep: checkpoint.step))
    }
}

extension Worker {
    /// Whether its optimizer state belongs to exactly these weights.
    func hasLearned(_ manifest: PolicyManifest) -> Bool {
        learned?.version == manifest.version && learned?.weightsHash == manifest.weightsHash
    }

    /// Whether it can train from this policy at once: with its own state, or from the policy it proved to hold.
    func isAtWork(on base: PolicyManifest) -> Bool { hasLearned(base) || policy == .ready(base) }
}
