// What happens when the learner says that a group was not sampled from the policy it should have been.

import Rollouts

extension Coordinator {
    /// In exact arithmetic, log-probs of the policy being trained are the same bits wherever they are computed. Where
    /// the learner's are others, one of two computed something else. The sampler did, if groups of others in the same
    /// batch are as they should be: then its groups are sampled again elsewhere, and it gets a strike. The learner did,
    /// if it disputes everybody's groups, or the same completions a second time: then the run stops.
    mutating func takeDispute(
        _ lease: LeaseIdentifier, _ keys: [GroupKey], _ reason: String, from worker: String
    ) {
        guard let step = disputedStep(lease, by: worker), let batch = buffer[step] else {
            return dismiss(lease, from: worker)
        }
        send(.acknowledge(lease: lease), toWorker: worker)
        let trained = batch.trainable.map { batch.groups[$0] }
        let disputed = trained.filter { keys.contains($0.prompt.key) }
        guard !disputed.isEmpty, disputed.count == keys.count else {
            failStep("`\(worker)` disputes groups that it was not given", by: worker, retryable: true)
            return strike(worker, because: "disputed groups that are not in its batch")
        }
        var accused: [String] = []
        for sampler in disputed.compactMap(\.sampler) where !accused.contains(sampler) { accused.append(sampler) }
        let agreesWithOthers = trained.contains { group in
            !keys.contains(group.prompt.key) && !(group.sampler.map(accused.contains) ?? false)
        }
        let isConfirmed = disputed.contains { !$0.disputed.isEmpty && $0.disputed == $0.completions }
        guard agreesWithOthers, !isConfirmed else {
            return failStep("`\(worker)`: \(reason)", by: worker, retryable: false)
        }
        failStep("`\(worker)`: \(reason)", by: worker, retryable: true)
        guard !progress.isStopping, !progress.isFinished else { return }
        for group in disputed {
            sampleAgain(group, of: step, because: "disputed by `\(worker)`", disputed: group.completions)
        }
        for sampler in accused {
            let count = disputed.count { $0.sampler == sampler }
            let groups = count == 1 ? "a group of step \(step) that is" : "\(count) groups of step \(step) that are"
            strike(sampler, because: "sent \(groups) not what the policy samples")
        }
    }

    /// The step that this worker trains, or computes a part of, under this lease.
    private func disputedStep(_ lease: LeaseIdentifier, by worker: String) -> Int? {
        if let running = training.running, running.answers(to: lease), running.lease.worker == worker,
            case .train(let step) = running.order
        {
            return step
        }
        return gradients.book.owner(of: lease) == worker ? gradients.shared?.step : nil
    }

    /// Who disputes a part of a gradient has changed nothing: the step is begun anew.
    private mutating func failStep(_ reason: String, by worker: String, retryable: Bool) {
        guard training.running == nil else { return failTraining(reason, retryable: retryable) }
        counters.faultCount += 1
        fault(.trainingFailed, "training failed: \(reason)", of: worker)
        endGradients()
        if !retryable { return giveUpStep(reason) }
        membership.update(worker) { [now, leaseLength] in $0.restUntil = now + leaseLength }
    }

    /// As if it had never been answered, but by another worker where there is one.
    /// - Parameter disputed: the completions that a learner disputes, if it is that.
    mutating func sampleAgain(_ group: TrackedGroup, of step: Int, because reason: String, disputed: [Completion]) {
        let key = group.prompt.key
        abandonUnits(of: key)
        persist(.groupDropped(key, reason: reason))
        buffer.change(step) { batch in
            var open = TrackedGroup(prompt: group.prompt)
            open.disputed = disputed
            batch.groups[key.ordinal] = open
            batch.isClosed = false
            batch.trainable = []
            batch.closedAt = nil
        }
        rollouts.add(assignment(for: group.prompt))
        if let sampler = group.sampler, let index = rollouts.book.slot(of: key) {
            rollouts.book.change(index) { $0.avoided = [sampler] }
        }
    }
}
