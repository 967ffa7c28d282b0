// What must hold after every event, each under the name it has in ARCHITECTURE.md.

import Rollouts

extension Coordinator {
    /// Traps with the whole state if an invariant is broken. The simulator calls it after every event.
    package func checkInvariants() {
        if let violatedInvariant { preconditionFailure("\(violatedInvariant)\n\(self)") }
    }

    /// The first invariant that does not hold, with what breaks it.
    package var violatedInvariant: String? {
        emitEverything() ?? oneLiveHolderPerLease() ?? noTokenTrainsPastTheStalenessBound() ?? versionsOnlyGrow()
            ?? rolloutsOnlyAfterProof() ?? noEffectsAfterStop()
    }

    /// The same. `mutating`, so that the core is lent to it and not copied.
    package mutating func findViolation() -> String? { violatedInvariant }

    /// Every dispatched group is in exactly one place until it ends: with the rollout scheduler while it is sampled,
    /// with the verification scheduler while it is judged, nowhere once it is judged or abandoned.
    func emitEverything() -> String? {
        var expected = UnitCounts()
        for batch in buffer.batches {
            if let violation = countUnits(of: batch, &expected) { return violation }
        }
        if let batch = evaluation.batch, let violation = countUnits(of: batch, &expected) { return violation }
        // No two units have one name, so every group has its units if each unit has its group and none is missing.
        var found = UnitCounts()
        for slot in rollouts.book.units.occupied {
            let (key, isCheck) = (rollouts.book.units[slot].key, rollouts.book.units[slot].isCheck)
            let needs = group(key).map { isCheck ? $0.check.isOpen && !$0.isAbandoned : $0.state == .sampling } ?? false
            if !needs { return "emit everything: \(key.words) is sampled or checked, but does not wait for it" }
            if isCheck { found.checking += 1 } else { found.sampling += 1 }
        }
        for slot in verification.book.units.occupied {
            let key = verification.book.units[slot].key
            if group(key)?.state != .verifying {
                return "emit everything: \(key.words) is judged, but does not wait for it"
            }
            found.verifying += 1
        }
        guard found == expected else {
            return "emit everything: groups wait for \(expected), but open are \(found)"
        }
        return nil
    }

    /// Units that should be open, or are.
    private struct UnitCounts: Equatable {
        var sampling = 0
        var verifying = 0
        var checking = 0
    }

    private func countUnits(of batch: StepBatch, _ counts: inout UnitCounts) -> String? {
        var openCount = 0
        for ordinal in batch.groups.indices {
            switch batch.groups[ordinal].state {
            case .sampling: counts.sampling += 1
            case .verifying: counts.verifying += 1
            case .judged:
                let (completions, verdicts) = (batch.groups[ordinal].completions, batch.groups[ordinal].verdicts)
                if completions.count != verdicts.count {
                    return "emit everything: \(batch.groups[ordinal].prompt.key.words) has \(completions.count) "
                        + "completions and \(verdicts.count) verdicts"
                }
            case .abandoned: continue
            }
            if batch.groups[ordinal].check.isOpen { counts.checking += 1 }
            if !batch.groups[ordinal].isEnded { openCount += 1 }
        }
        guard openCount == batch.openCount else {
            return "emit everything: step \(batch.step) has \(openCount) open groups, but counts \(batch.openCount)"
        }
        return nil
    }

    /// A lease is live in one place, with one worker that is a member, and no worker holds more than its slots.
    func oneLiveHolderPerLease() -> String? {
        var live: [LeaseIdentifier] = []
        if let lease = training.running?.lease {
            live.append(lease.identifier)
            if membership.index(of: lease.worker) == nil { return Self.orphan(lease) }
        }
        let violation =
            checkHolders(rollouts.book, "groups", &live) { $0.hello.rolloutSlots }
            ?? checkHolders(verification.book, "verifications", &live) { $0.hello.verificationSlots }
            ?? checkHolders(gradients.book, "parts of a gradient", &live) { _ in 1 }
        if let violation { return violation }
        live.sort()
        for place in live.indices.dropFirst() where live[place] == live[place - 1] {
            return "one live holder per lease: lease \(live[place].rawValue) is live twice"
        }
        return nil
    }

    private func checkHolders<Work>(
        _ book: LeaseBook<Work>, _ what: String, _ live: inout [LeaseIdentifier], slotLimit: (Worker) -> Int
    ) -> String? {
        var count = 0
        for slot in book.units.occupied {
            guard let lease = book.units[slot].holder else { continue }
            count += 1
            live.append(lease.identifier)
            guard let place = membership.index(of: lease.worker) else { return Self.orphan(lease) }
            let held = book.slots(heldBy: lease.worker)
            if !held.contains(slot) || book.place(of: lease.identifier) != .live(slot) {
                return "one live holder per lease: lease \(lease.identifier.rawValue) of `\(lease.worker)` is not found"
            }
            if held.count > max(0, slotLimit(membership.workers[place])) {
                return "one live holder per lease: `\(lease.worker)` holds \(held.count) \(what), more than its slots"
            }
        }
        guard count == book.heldCount else {
            return "one live holder per lease: \(count) \(what) are held, but counted are \(book.heldCount)"
        }
        return nil
    }

    private static func orphan(_ lease: Lease) -> String {
        "one live holder per lease: lease \(lease.identifier.rawValue) is held by `\(lease.worker)`, which is no member"
    }

    /// Every batch is sampled with exactly the version that its step and the lag name; in flight, with none older.
    func noTokenTrainsPastTheStalenessBound() -> String? {
        for batch in buffer.batches {
            if batch.version != progress.version(for: batch.step) {
                return "no token trains past the staleness bound: step \(batch.step) is sampled with version "
                    + "\(batch.version.rawValue), expected \(progress.version(for: batch.step).rawValue)"
            }
            let versions = progress.versions(for: batch.step)
            for ordinal in batch.groups.indices {
                for place in batch.groups[ordinal].completions.indices
                where batch.groups[ordinal].completions[place].versions.contains(where: { !versions.contains($0) }) {
                    return "no token trains past the staleness bound: step \(batch.step) has a token of another version"
                }
            }
        }
        return nil
    }

    /// Published versions ascend, and none is newer than what is durable.
    func versionsOnlyGrow() -> String? {
        let versions = publication.policies.map(\.version)
        if let pair = zip(versions, versions.dropFirst()).first(where: { $0 >= $1 }) {
            return "versions only grow: \(pair.1.rawValue) is published after \(pair.0.rawValue)"
        }
        if let newest = versions.last, publication.durable.map({ newest > $0 }) ?? true {
            return "versions only grow: \(newest.rawValue) is published before it is durable"
        }
        if let newest = versions.last, newest < PolicyVersion(UInt64(progress.trainedStep)) {
            return "versions only grow: step \(progress.trainedStep) is trained, but \(newest.rawValue) is the newest"
        }
        return nil
    }

    /// Whoever holds a rollout lease proved the hash of exactly that version.
    func rolloutsOnlyAfterProof() -> String? {
        for slot in rollouts.book.units.occupied {
            let unit = rollouts.book.units[slot]
            guard let holder = unit.holder, let worker = membership[holder.worker] else { continue }
            if unit.work.newer, case .loading(let manifest, _) = worker.policy, unit.work.admits(manifest.version) {
                continue
            }
            if unit.work.newer, case .failed = worker.policy { continue }
            guard let proven = worker.provenVersion, unit.work.admits(proven),
                let policy = publication.manifest(of: proven), worker.holds(policy)
            else {
                return "rollouts only after proof: `\(worker.name)` samples \(unit.key.words) with version "
                    + "\(unit.work.version.rawValue) without having proved it"
            }
        }
        for slot in gradients.book.units.occupied {
            let unit = gradients.book.units[slot]
            guard let holder = unit.holder, let worker = membership[holder.worker], let shared = gradients.shared
            else { continue }
            guard worker.name == shared.leader || worker.holds(shared.base) else {
                return "rollouts only after proof: `\(worker.name)` computes \(unit.work.words) without having proved "
                    + "version \(unit.work.base.rawValue)"
            }
        }
        return nil
    }

    /// A finished run holds nothing and says nothing.
    func noEffectsAfterStop() -> String? {
        guard progress.isFinished else { return nil }
        let isIdle =
            rollouts.book.units.isEmpty && verification.book.units.isEmpty && training.running == nil
            && gradients.shared == nil && gradients.book.units.isEmpty && nextDeadline == nil
        return isIdle ? nil : "no effects after stop: the run is finished, but work is open"
    }
}
