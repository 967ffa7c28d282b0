// How several learners share a step's gradient.

import Rollouts

extension Coordinator {
    /// Whether a step's gradient may be computed by more than one learner.
    private var isShareable: Bool { options.optimizer.shards > 1 && pretraining == nil }

    /// Learners without other work hold the newest policy, so that they can help with the next step.
    mutating func prepareHelpers(of leader: String, from base: PolicyManifest) {
        guard isShareable else { return }
        // A helper needs no optimizer state.
        var weights = base
        weights.optimizer = nil
        for worker in membership.members(at: membership.learners)
        where worker.isLearner && !worker.isSampler && worker.takesWork && worker.name != leader
            && !worker.holds(base) && worker.mayLoad(at: now) && gradients.book.heldCount(of: worker.name) == 0
        {
            sendPolicy(weights, to: worker.name)
        }
    }

    /// Shares the step's gradient, where another learner can help at this moment.
    /// - Returns: whether it is shared; else the leader computes all of it.
    mutating func shareGradient(of step: Int, leader: String, base: PolicyManifest) -> Bool {
        guard isShareable, let batch = buffer[step], !batch.trainable.isEmpty else { return false }
        let helpers = membership.members(at: membership.learners).filter {
            $0.isLearner && $0.takesWork && $0.name != leader && $0.holds(base) && !$0.rests(at: now)
        }
        guard !helpers.isEmpty else { return false }
        let attempt = leases.nextIdentifier().rawValue
        let parts = ShardRange.parts(of: options.optimizer.shards, count: helpers.count + 1).map { shards in
            GradientAssignment(
                step: step, base: base.version, groupCount: batch.trainable.count, shards: shards, keep: false,
                attempt: attempt, reference: options.algorithm.klCoefficient == 0 ? nil : reference)
        }
        gradients.begin(
            GradientShards.Shared(step: step, base: base, leader: leader, startedAt: now), parts: parts)
        advanceGradients()
        return true
    }

    /// Gives out parts that wait; when all are done, the leader makes the step of them.
    mutating func advanceGradients() {
        guard let shared = gradients.shared else { return }
        if let parts = gradients.parts {
            guard membership[shared.leader]?.isReachable == true else { return }
            return start(.train(step: shared.step), on: shared.leader, of: parts, since: shared.startedAt)
        }
        let grants = gradients.assign(to: membership.members(at: membership.learners), at: now, leases: &leases)
        for grant in grants {
            sendGroups(of: shared.step, under: grant.lease, to: grant.worker)
            send(.gradient(lease: grant.lease, grant.assignment), toWorker: grant.worker)
        }
    }

    mutating func takeGradient(_ lease: LeaseIdentifier, _ step: Int, _ part: GradientPart, from worker: String) {
        guard isOwn(lease, gradients.book.owner(of: lease), worker) else { return drop(part) }
        let index: Int
        switch gradients.book.place(of: lease) {
        case .unknown:
            drop(part)
            return dismiss(lease, from: worker)
        case .live(let live): index = live
        case .former(let former): index = former
        }
        let unit = gradients.book.units[index]
        send(.acknowledge(lease: lease), toWorker: worker)
        if let fault = gradients.fault(in: part, step: step, of: unit.work, from: worker) {
            drop(part)
            if unit.holder?.identifier == lease { loseGradient(index, avoiding: true) }
            return strike(worker, because: "computed \(unit.work.words) unusably: \(fault)")
        }
        cancelOther(gradients.finish(index, part, by: worker), than: lease)
        membership.update(worker) { $0.restUntil = nil }
    }

    /// Nobody waits for this part: its blob goes, unless the message came twice and the first one counts.
    private mutating func drop(_ part: GradientPart) {
        guard let blob = part.blob, gradients.shared?.blobs.contains(blob) != true else { return }
        outbox.append(.removeBlobs([blob]))
    }

    mutating func failGradient(_ index: Int, _ reason: String, retryable: Bool, by worker: String) {
        let unit = gradients.book.units[index]
        counters.faultCount += 1
        fault(
            .trainingFailed, "`\(worker)` could not compute \(unit.work.words): \(reason)", of: worker,
            lease: unit.holder?.identifier)
        loseGradient(index, avoiding: true)
        gradients.book.change(index) { [now] unit in
            unit.failureCount += 1
            unit.notBefore = now + PolicyPublication.retryWait(afterFailures: unit.failureCount)
        }
        guard retryable, gradients.book.units[index].failureCount < GradientShards.failureLimit else {
            return giveUpStep("`\(worker)`: \(reason)")
        }
    }

    mutating func loseGradient(_ index: Int, avoiding: Bool) {
        guard let lease = gradients.book.release(index) else { return }
        counters.releaseCount += 1
        gradients.book.change(index) { unit in
            unit.lossCount += 1
            if avoiding, !unit.avoided.contains(lease.worker) { unit.avoided.append(lease.worker) }
        }
    }

    /// The step is made, or its gradient is given up: nobody computes for it any more, and its blobs go.
    mutating func endGradients() {
        let (leases, blobs) = gradients.end()
        for lease in leases { send(.cancel(lease: lease.identifier), toWorker: lease.worker) }
        if !blobs.isEmpty { outbox.append(.removeBlobs(blobs)) }
    }
}

extension GradientAssignment {
    /// For notes.
    var words: String {
        shards.count == 1
            ? "shard \(shards.first) of step \(step)"
            : "shards \(shards.first)–\(shards.first + shards.count - 1) of step \(step)"
    }
}
