// What must hold after every event, each under the name it has in ARCHITECTURE.md.

import Rollouts

extension Coordinator {
    /// Traps with the whole state if an invariant is broken. The simulator calls it after every event.
    package func checkInvariants() {
        if let violatedInvariant { preconditionFailure("\(violatedInvariant)\n\(self)") }
    }

    /// The first invariant that does not hold, with what breaks it.
    package var violatedInvariant: String? {
        for check in [
            emitEverything, oneLiveHolderPerLease, noTokenTrainsPastTheStalenessBound, versionsOnlyGrow,
            rolloutsOnlyAfterProof, noEffectsAfterStop,
        ] {
            if let violation = check() { return violation }
        }
        return nil
    }

    /// Every dispatched group is in exactly one place until it ends: with the rollout scheduler while it is sampled,
    /// with the verification scheduler while it is judged, nowhere once it is judged or abandoned.
    func emitEverything() -> String? {
        let batches = buffer.batches + (evaluation.batch.map { [$0] } ?? [])
        var samplingCount = 0
        var verifyingCount = 0
        for group in batches.flatMap(\.groups) {
            let isSampled = rollouts.book.index(of: group.prompt.key) != nil
            let isVerified = verification.book.index(of: group.prompt.key) != nil
            let expected =
                switch group.state {
                case .sampling: (true, false)
                case .verifying: (false, true)
                case .judged, .abandoned: (false, false)
                }
            if (isSampled, isVerified) != expected {
                return "emit everything: \(group.prompt.key.words) is \(group.state), but its sampling is "
                    + "\(isSampled ? "open" : "closed") and its verification \(isVerified ? "open" : "closed")"
            }
            if group.state == .judged, group.verdicts.count != group.completions.count {
                return "emit everything: \(group.prompt.key.words) has \(group.completions.count) completions and "
                    + "\(group.verdicts.count) verdicts"
            }
            let isChecked = rollouts.book.index(of: group.prompt.key, isCheck: true) != nil
            if isChecked != (group.check.isOpen && !group.isAbandoned) {
                return "emit everything: \(group.prompt.key.words) has the check \(group.check), but its unit is "
                    + (isChecked ? "open" : "closed")
            }
            samplingCount += (isSampled ? 1 : 0) + (isChecked ? 1 : 0)
            verifyingCount += isVerified ? 1 : 0
        }
        guard samplingCount == rollouts.book.units.count, verifyingCount == verification.book.units.count else {
            return "emit everything: units are open for groups that nobody tracks"
        }
        return nil
    }

    /// A lease is live in one place, with one worker that is a member, and no worker holds more than its slots.
    func oneLiveHolderPerLease() -> String? {
        var live = rollouts.book.holders + verification.book.holders
        if let lease = training.running?.lease { live.append(lease) }
        let identifiers = live.map(\.identifier).sorted()
        if let pair = zip(identifiers, identifiers.dropFirst()).first(where: { $0 == $1 }) {
            return "one live holder per lease: lease \(pair.0.rawValue) is live twice"
        }
        if let orphan = live.first(where: { membership[$0.worker] == nil }) {
            return "one live holder per lease: lease \(orphan.identifier.rawValue) is held by `\(orphan.worker)`, "
                + "which is no member"
        }
        for worker in membership.workers {
            let rolloutCount = rollouts.book.units.filter { $0.holder?.worker == worker.name }.count
            let verificationCount = verification.book.units.filter { $0.holder?.worker == worker.name }.count
            if rolloutCount != rollouts.book.heldCount(of: worker.name)
                || verificationCount != verification.book.heldCount(of: worker.name)
            {
                return "one live holder per lease: the count of leases of `\(worker.name)` is wrong"
            }
            if rolloutCount > max(0, worker.hello.rolloutSlots)
                || verificationCount > max(0, worker.hello.verificationSlots)
            {
                return "one live holder per lease: `\(worker.name)` holds \(rolloutCount) groups and "
                    + "\(verificationCount) verifications, more than its slots"
            }
        }
        return nil
    }

    /// Every batch is sampled with exactly the version that its step and the lag name; in flight, with none older.
    func noTokenTrainsPastTheStalenessBound() -> String? {
        for batch in buffer.batches {
            if batch.version != progress.version(for: batch.step) {
                return "no token trains past the staleness bound: step \(batch.step) is sampled with version "
                    + "\(batch.version.rawValue), expected \(progress.version(for: batch.step).rawValue)"
            }
            for completion in batch.groups.flatMap(\.completions)
            where completion.versions.contains(where: { !progress.versions(for: batch.step).contains($0) }) {
                return "no token trains past the staleness bound: step \(batch.step) has a token of another version"
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
        for unit in rollouts.book.units {
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
        for unit in gradients.book.units {
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
