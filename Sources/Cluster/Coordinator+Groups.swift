// How groups go from prompts to verdicts: given out, taken back, accepted once.

import Rollouts

extension Coordinator {
    /// A group enters: sampled already (stored before a restart), or to be sampled.
    mutating func admit(_ prompt: Prompt) {
        let assignment = assignment(for: prompt)
        guard let index = accepted.firstIndex(where: { $0.prompt.key == prompt.key }) else {
            return rollouts.add(assignment)
        }
        let stored = accepted.remove(at: index)
        guard stored.prompt == prompt,
            rollouts.fault(in: stored.completions, of: assignment, newest: newestVersion(for: assignment)) == nil
        else {
            note(.warning, "stored completions of \(prompt.key.words) do not fit the prompt drawn; sampling it again")
            return rollouts.add(assignment)
        }
        let verdicts = stored.verdicts.flatMap { $0.count == stored.completions.count ? $0 : nil }
        changeGroup(prompt.key) { batch, ordinal in
            batch.groups[ordinal].completions = stored.completions
            batch.groups[ordinal].verdicts = verdicts ?? []
            batch.groups[ordinal].state = verdicts == nil ? .verifying : .judged
        }
        if verdicts == nil { verification.add(prompt, stored.completions) }
        openCheck(prompt, sampledBy: nil)
    }

    func assignment(for prompt: Prompt) -> RolloutAssignment {
        if prompt.key.purpose == .evaluation { return evaluation.assignment(prompt, seed: options.seed) }
        return RolloutAssignment(
            prompt: prompt, groupSize: options.rollout.groupSize, version: progress.version(for: prompt.key.step),
            sampling: options.rollout.sampling, seed: options.seed, newer: progress.isInflight)
    }

    /// Gives out policies, then groups, then verifications.
    mutating func assignWork(except reserved: String?) {
        guard !progress.isFinished, !progress.isPaused, pretraining == nil else { return }
        fileWorkers()
        let learner = training.running?.lease.worker
        func isFree(_ worker: Worker) -> Bool { worker.name != learner && worker.name != reserved }
        // Mostly nobody may load anything.
        let loads: [PolicyPublication.Load] =
            index.mayLoad.isEmpty
            ? []
            : progress.isInflight
            ? publication.loadsInFlight(
                for: membership, index, isFree: isFree, isIdle: { rollouts.book.heldCount(of: $0.name) == 0 },
                wanted: wantedInFlight)
            : publication.loads(
                for: membership, index, isFree: isFree, demand: rollouts.demand(at: now),
                checkedVersions: rollouts.checkedVersions(at: now), checks: { rollouts.checkDemand(at: now) },
                ahead: newestIfSampled)
        for load in loads { sendPolicy(load.manifest, to: load.worker) }
        if !loads.isEmpty { fileWorkers() }
        let rolloutGrants = rollouts.assign(
            to: membership, &index, except: reserved, at: now, leases: &leases, manifest: publication.manifest(of:))
        for grant in rolloutGrants {
            changeGroup(grant.assignment.prompt.key) { [now] batch, _ in
                batch.dispatchedAt = batch.dispatchedAt ?? now
            }
            send(.rollout(lease: grant.lease, grant.assignment), toWorker: grant.worker)
        }
        let verificationGrants = verification.assign(to: membership, &index, at: now, leases: &leases)
        for grant in verificationGrants {
            send(.verify(lease: grant.lease, grant.assignment), toWorker: grant.worker)
        }
    }

    /// Brings the index up to date with everything that has changed since the last time.
    private mutating func fileWorkers() {
        membership.wake(at: now)
        touch(rollouts.book.takeChangedWorkers())
        touch(verification.book.takeChangedWorkers())
        touch(gradients.book.takeChangedWorkers())
        if let touched = membership.takeTouched() {
            for place in touched { file(place) }
        } else {
            index.forgetAll()
            for place in membership.workers.indices { file(place) }
        }
    }

    private mutating func touch(_ names: [String]) {
        for name in names {
            if let place = membership.index(of: name) { membership.touch(place) }
        }
    }

    private mutating func file(_ place: Int) {
        let worker = membership.workers[place]
        let held = WorkerIndex.Held(
            rollouts: rollouts.book.heldCount(of: worker.name), needsItsPolicy: rollouts.needsItsPolicy(worker.name),
            verifications: verification.book.heldCount(of: worker.name),
            gradients: gradients.book.heldCount(of: worker.name))
        index.file(place, worker, held, at: now)
    }

    /// The newest version whose tokens an answer to this assignment may have.
    private func newestVersion(for assignment: RolloutAssignment) -> PolicyVersion {
        assignment.newer ? progress.versions(for: assignment.prompt.key.step).upperBound : assignment.version
    }

    /// What everyone is to hold in flight: the newest policy, or the one that is evaluated, which after a step back is
    /// an older one.
    private var wantedInFlight: PolicyManifest? {
        guard let batch = evaluation.batch else { return newestIfSampled }
        return publication.manifest(of: batch.version)
    }

    /// The newest policy, if anything will be sampled with it: workers load it before there are groups for it.
    private var newestIfSampled: PolicyManifest? {
        publication.newest.flatMap { progress.isSampled(with: $0.version) ? $0 : nil }
    }

    mutating func takeRollout(_ lease: LeaseIdentifier, _ completions: [Completion], from worker: String) {
        guard isOwn(lease, rollouts.book.owner(of: lease), worker) else { return }
        let index: Int
        switch rollouts.book.place(of: lease) {
        case .unknown: return dismiss(lease, from: worker)
        case .live(let live): index = live
        case .former(let former): index = former
        }
        let unit = rollouts.book.units[index]
        if let fault = rollouts.fault(in: completions, of: unit.work, newest: newestVersion(for: unit.work)) {
            send(.acknowledge(lease: lease), toWorker: worker)
            if unit.holder?.identifier == lease { loseRollout(index, avoiding: true) }
            return strike(worker, because: "sampled \(unit.key.words) unusably: \(fault)")
        }
        if unit.isCheck { return takeCheck(index, lease, completions, from: worker) }
        rollouts.book.remove(index)
        cancelOther(unit.holder, than: lease)
        changeGroup(unit.key) { [now] batch, ordinal in
            batch.groups[ordinal].completions = completions
            batch.groups[ordinal].sampler = worker
            batch.groups[ordinal].state = .verifying
            batch.dispatchedAt = batch.dispatchedAt ?? now
            batch.lastCompletedAt = now
        }
        persist(.completionsAccepted(unit.work.prompt, completions))
        send(.acknowledge(lease: lease), toWorker: worker)
        let tokenCount = completions.reduce(0) { $0 + $1.tokens.count }
        counters.completionCount += completions.count
        counters.tokenCount += tokenCount
        membership.update(worker) {
            $0.completionCount += completions.count
            $0.tokenCount += tokenCount
            $0.restUntil = nil
        }
        verification.add(unit.work.prompt, completions)
        openCheck(unit.work.prompt, sampledBy: worker)
    }

    mutating func takeVerdicts(_ lease: LeaseIdentifier, _ verdicts: [Verdict], from worker: String) {
        guard isOwn(lease, verification.book.owner(of: lease), worker) else { return }
        let index: Int
        switch verification.book.place(of: lease) {
        case .unknown: return dismiss(lease, from: worker)
        case .live(let live): index = live
        case .former(let former): index = former
        }
        let unit = verification.book.units[index]
        if let fault = verification.fault(in: verdicts, ofUnit: index) {
            // A late answer may be about completions that another attempt has judged since.
            guard unit.holder?.identifier == lease else { return dismiss(lease, from: worker) }
            send(.acknowledge(lease: lease), toWorker: worker)
            loseVerification(index)
            return strike(worker, because: "judged \(unit.key.words) unusably: \(fault)")
        }
        cancelOther(unit.holder, than: lease)
        conclude(verification.take(verdicts, ofUnit: index, by: worker, at: now), of: unit.key)
        send(.acknowledge(lease: lease), toWorker: worker)
        counters.verdictCount += verdicts.count
        membership.update(worker) {
            $0.verdictCount += verdicts.count
            $0.restUntil = nil
        }
    }

    mutating func takeFailure(_ lease: LeaseIdentifier, _ reason: String, retryable: Bool, from worker: String) {
        if let running = training.running, running.answers(to: lease), running.lease.worker == worker {
            send(.acknowledge(lease: lease), toWorker: worker)
            return failTraining("`\(worker)`: \(reason)", retryable: retryable)
        }
        let owner =
            rollouts.book.owner(of: lease) ?? verification.book.owner(of: lease) ?? gradients.book.owner(of: lease)
        guard isOwn(lease, owner, worker) else { return }
        if case .live(let index) = rollouts.book.place(of: lease) {
            send(.acknowledge(lease: lease), toWorker: worker)
            return failRollout(index, lease, reason, retryable: retryable, by: worker)
        }
        if case .live(let index) = gradients.book.place(of: lease) {
            send(.acknowledge(lease: lease), toWorker: worker)
            return failGradient(index, reason, retryable: retryable, by: worker)
        }
        if case .live(let index) = verification.book.place(of: lease) {
            let key = verification.book.units[index].key
            counters.faultCount += 1
            conclude(
                verification.fail(index, by: worker, reason: reason, retryable: retryable, at: now), of: key)
            fault(
                .verificationFailed, "`\(worker)` could not judge \(key.words): \(reason)", of: worker, lease: lease)
            return send(.acknowledge(lease: lease), toWorker: worker)
        }
        dismiss(lease, from: worker)
    }

    /// A worker answers what it was asked. Whoever answers for another is struck, and the other goes on.
    mutating func isOwn(_ lease: LeaseIdentifier, _ owner: String?, _ worker: String) -> Bool {
        guard let owner, owner != worker else { return true }
        send(.acknowledge(lease: lease), toWorker: worker)
        strike(worker, because: "answered lease \(lease.words), which was given to `\(owner)`")
        return false
    }

    private mutating func failRollout(
        _ index: Int, _ lease: LeaseIdentifier, _ reason: String, retryable: Bool, by worker: String
    ) {
        let key = rollouts.book.units[index].key
        counters.faultCount += 1
        fault(.rolloutFailed, "`\(worker)` could not sample \(key.words): \(reason)", of: worker, lease: lease)
        let unit = rollouts.book.units[index]
        let isLast = !retryable || unit.failureCount + 1 >= RolloutScheduler.failureLimit
        if unit.isCheck, isLast, group(key)?.check == .open { return skipCheck(index) }
        guard retryable || unit.isCheck else {
            rollouts.book.remove(index)
            changeGroup(key) { batch, ordinal in batch.groups[ordinal].state = .abandoned(reason: reason) }
            return persist(.groupDropped(key, reason: reason))
        }
        loseRollout(index, avoiding: true)
        rollouts.book.change(index) { [now] unit in
            unit.failureCount += 1
            unit.notBefore = now + PolicyPublication.retryWait(afterFailures: unit.failureCount)
        }
        if rollouts.book.units[index].failureCount >= RolloutScheduler.failureLimit {
            pause(.rollouts(key, reason: reason))
        }
    }

    /// The lease is lost; the group waits for another one.
    mutating func loseRollout(_ index: Int, avoiding: Bool) {
        guard let lease = rollouts.book.release(index) else { return }
        counters.releaseCount += 1
        rollouts.book.change(index) { unit in
            unit.lossCount += 1
            if avoiding, !unit.avoided.contains(lease.worker) { unit.avoided.append(lease.worker) }
        }
    }

    mutating func loseVerification(_ index: Int) {
        let unit = verification.book.units[index]
        guard let lease = unit.holder else { return }
        counters.releaseCount += 1
        if let outcome = verification.lose(index, by: lease.worker) { conclude(outcome, of: unit.key) }
    }

    private mutating func conclude(_ outcome: VerificationScheduler.Outcome, of key: GroupKey) {
        guard case .settled(_, let verdicts) = outcome else { return }
        let missing = verdicts.filter { $0.outcome == .noVerdict }
        if let first = missing.first {
            counters.noVerdictCount += missing.count
            fault(.noVerdict, "\(key.words): \(missing.count) without a verdict, \(first.reason)")
        }
        changeGroup(key) { batch, ordinal in
            batch.groups[ordinal].verdicts = verdicts
            batch.groups[ordinal].state = .judged
        }
        persist(.verdictsAccepted(key, verdicts))
    }

    mutating func cancelOther(_ holder: Lease?, than lease: LeaseIdentifier) {
        guard let holder, holder.identifier != lease else { return }
        send(.cancel(lease: holder.identifier), toWorker: holder.worker)
    }

    /// Ends groups that will not be trained, wherever they are. Those that had a lease are cancelled.
    mutating func abandonUnits(where isAbandoned: (GroupKey) -> Bool) {
        for slot in rollouts.book.slotsInOrder.reversed() where isAbandoned(rollouts.book.units[slot].key) {
            abandon(rollouts.book.remove(slot).holder)
        }
        for slot in verification.book.slotsInOrder.reversed() where isAbandoned(verification.book.units[slot].key) {
            abandon(verification.book.remove(slot).holder)
        }
    }

    /// The same for one group.
    mutating func abandonUnits(of key: GroupKey) {
        for isCheck in [true, false] {
            guard let slot = rollouts.book.slot(of: key, isCheck: isCheck) else { continue }
            abandon(rollouts.book.remove(slot).holder)
        }
        if let slot = verification.book.slot(of: key) { abandon(verification.book.remove(slot).holder) }
    }

    private mutating func abandon(_ holder: Lease?) {
        if let holder { send(.cancel(lease: holder.identifier), toWorker: holder.worker) }
    }
}
