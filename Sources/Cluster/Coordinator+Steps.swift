// How the run moves from step to step: start, batches, evaluation, pause, stop.

import Rollouts

extension Coordinator {
    mutating func begin() {
        precondition(!progress.isStarted, "the run is started twice")
        progress.isStarted = true
        progress.lastStepAt = now
        if isResumed {
            outbox.append(.rewind(toStep: progress.checkpoint.step))
            note(.info, "going on from step \(progress.checkpoint.step)")
        }
        if progress.isInflight {
            note(
                .info,
                "in flight: weights change between tokens, with a staleness of at most \(progress.lag); run again, the "
                    + "run is not the same bits")
        }
        if pretraining == nil { publishBase() }
    }

    /// Publishes the policy the run goes on from. A lag also needs those before it.
    mutating func publishBase() {
        let oldest = progress.oldestStartingVersion
        publication.begin(with: progress.checkpoint.manifest, needing: oldest, at: now)
        for version in oldest.rawValue...max(oldest.rawValue, progress.checkpoint.manifest.version.rawValue)
        where progress.trainedStep < progress.stepCount && publication.manifest(of: PolicyVersion(version)) == nil {
            return stop(
                .failed(
                    step: progress.checkpoint.step,
                    reason: "lag \(progress.lag) needs policy version \(version), which the store does not have; "
                        + "resume from an earlier checkpoint or set schedule.lag: 0"))
        }
    }

    // MARK: batches

    /// Opens every batch that may be started and settles every batch that has ended.
    mutating func advanceBatches() {
        guard pretraining == nil, !progress.isPaused, !progress.isFinished else { return }
        var isChanged = true
        while isChanged, !progress.isPaused {
            isChanged = openNextBatch()
            for place in buffer.places(after: progress.trainedStep) where !progress.isPaused {
                isChanged = settle(buffer.batches[place].step) || isChanged
            }
        }
    }

    private mutating func openNextBatch() -> Bool {
        let step = (buffer.batches.last?.step ?? progress.trainedStep) + 1
        guard progress.mayStart(step, newest: publication.newest?.version),
            let position = buffer.nextPosition(afterCheckpoint: progress.checkpoint.nextPosition)
        else { return false }
        buffer.open(
            StepBatch(purpose: .training, step: step, version: progress.version(for: step), position: position))
        return true
    }

    /// Returns whether something changed.
    private mutating func settle(_ step: Int) -> Bool {
        switch buffer.settle(step, at: now) {
        case .waiting:
            return false
        case .draw(let ordinals):
            let position = (buffer[step]?.position ?? 0) + ordinals.lowerBound
            outbox.append(.drawPrompts(.training, step: step, ordinals: ordinals, position: position))
            return false
        case .unverified(let share):
            pause(.noVerdicts(step: step, share: share))
            return false
        case .closed(let batch):
            for group in batch.groups
            where group.state == .judged && !batch.trainable.contains(group.prompt.key.ordinal) {
                persist(.groupDropped(group.prompt.key, reason: RunHistory.equalRewards))
            }
            let wanted = options.rollout.promptsPerStep
            if batch.trainable.count < wanted {
                note(
                    .warning,
                    "step \(step) trains \(batch.trainable.count) of \(wanted) groups after drawing "
                        + "\(batch.groups.count) prompts")
            }
            return true
        }
    }

    mutating func take(_ prompts: [Prompt]) {
        guard let first = prompts.first else {
            return stop(
                .failed(
                    step: progress.checkpoint.step, reason: "no prompts were drawn; check the recipe's data sources"))
        }
        guard let batch = buffer[first.key.step], !batch.isDrawn else { return }
        let expected = batch.groups.count..<batch.requestedCount
        guard prompts.map(\.key) == expected.map({ GroupKey(purpose: .training, step: batch.step, ordinal: $0) }) else {
            return stop(
                .failed(
                    step: progress.checkpoint.step,
                    reason: "step \(batch.step): expected \(expected.count) prompts from ordinal "
                        + "\(expected.lowerBound), found \(prompts.count) from ordinal \(first.key.ordinal); "
                        + "check the recipe's data sources"))
        }
        buffer.change(batch.step) { $0.groups += prompts.map(TrackedGroup.init(prompt:)) }
        if progress.isStopping { return abandonOpenGroups() }
        for prompt in prompts { admit(prompt) }
    }

    // MARK: evaluation

    var isEvaluated: Bool {
        !progress.wantsEvaluation(after: progress.trainedStep) || evaluation.isDone(after: progress.trainedStep)
    }

    mutating func advanceEvaluation() {
        guard pretraining == nil, !progress.isPaused, !progress.isFinished else { return }
        if !isEvaluated, evaluation.batch == nil {
            evaluation.open(after: progress.trainedStep)
            for group in evaluation.batch?.groups ?? [] { admit(group.prompt) }
        }
        if let batch = evaluation.batch, batch.isEnded {
            let report = Evaluation.report(on: batch)
            persist(.evaluated(report))
            outbox.append(.reportEvaluation(report))
            evaluation.close()
        }
    }

    // MARK: pause and stop

    mutating func pause(_ pause: RunProgress.Pause) {
        guard progress.pause == nil, !progress.isStopping else { return }
        progress.pause = pause
        fault(.paused, "paused: \(pause.reason)")
    }

    mutating func resume() {
        guard let pause = progress.pause else { return }
        progress.pause = nil
        training.forgive()
        note(.info, "resumed")
        switch pause {
        case .requested, .spotCheck:
            break
        case .noVerdicts(let step, _):
            for group in buffer[step]?.groups ?? [] where group.verdicts.contains(where: { $0.outcome == .noVerdict }) {
                verification.add(group.prompt, group.completions, keeping: group.verdicts)
                changeGroup(group.prompt.key) { batch, ordinal in batch.groups[ordinal].state = .verifying }
            }
        case .rollouts(let key, _):
            guard let index = rollouts.book.slot(of: key) else { return }
            rollouts.book.change(index) { unit in
                unit.failureCount = 0
                unit.notBefore = .zero
                unit.avoided = []
            }
        }
    }

    mutating func interrupt() {
        guard !progress.isStopping else { return }
        progress.isStopping = true
        progress.pause = nil
        note(.info, "stopping: the step in flight is abandoned; accepted completions are kept for resuming")
        abandonOpenGroups()
        evaluation.abandon()
        if let running = training.running, running.order == .pretrain {
            send(.cancel(lease: running.lease.identifier), toWorker: running.lease.worker)
            training.stop()
        }
        if training.running == nil { endGradients() }
        if !progress.isStarted { stop(.interrupted(step: progress.checkpoint.step)) }
    }

    private mutating func abandonOpenGroups() {
        abandonUnits { _ in true }
        for step in buffer.batches.map(\.step) {
            buffer.change(step) { batch in
                for ordinal in batch.groups.indices where !batch.groups[ordinal].isEnded {
                    batch.groups[ordinal].state = .abandoned(reason: "interrupted")
                }
            }
        }
    }

    /// Waits for the step being trained, then for a checkpoint of the newest weights, then stops.
    mutating func advanceStopping() {
        guard training.running == nil else { return }
        guard progress.trainedStep > progress.checkpoint.step else {
            return stop(.interrupted(step: progress.checkpoint.step))
        }
        saveCheckpoint()
    }

    mutating func finishIfComplete() {
        guard pretraining == nil, !progress.isPaused, !progress.isFinished,
            progress.trainedStep >= progress.stepCount, isEvaluated
        else { return }
        stop(.completed(step: progress.trainedStep))
    }

    mutating func failStore(_ reason: String) {
        stop(.failed(step: progress.checkpoint.step, reason: Self.storeFailure(reason)), isStored: false)
    }

    /// The very record of the end could not be stored: then nothing that followed it was performed either.
    mutating func lastWords(after event: Event) -> [Effect] {
        guard case .storeFailed(let reason) = event, progress.isEndStored else { return [] }
        progress.outcome = nil
        failStore(reason)
        defer { outbox = [] }
        return outbox
    }

    private static func storeFailure(_ reason: String) -> String {
        "the run's store failed: \(reason); free space or mend the disk, then go on with --resume"
    }

    /// The core's last words.
    mutating func stop(_ outcome: RunOutcome, isStored: Bool = true) {
        guard !progress.isFinished else { return }
        abandonOpenGroups()
        evaluation.abandon()
        endGradients()
        training.stop()
        progress.isEndStored = isStored
        if isStored { persist(.finished(outcome)) }
        let reason =
            switch outcome {
            case .completed: "the run is complete"
            case .interrupted: "the run is interrupted"
            case .failed(_, let reason): "the run failed: \(reason)"
            }
        for worker in membership.workers { send(.shutdown(reason: reason), toWorker: worker.name) }
        outbox.append(.finish(outcome))
        progress.outcome = outcome
    }
}
