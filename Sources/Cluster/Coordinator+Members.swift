// What happens to the work when workers come, go, fall silent or give unusable answers.

import Rollouts

extension Coordinator {
    mutating func greet(_ hello: Hello, from peer: PeerIdentifier) {
        if let index = membership.index(at: peer), membership.workers[index].name != hello.worker {
            disconnect(peer)
        }
        switch membership.greet(hello, from: peer, at: now) {
        case .refused(let reason):
            send(.refused(reason: reason), to: peer)
            fault(.workerRefused, "refused: \(reason)", of: hello.worker)
        case .joined:
            persist(.workerJoined(name: hello.worker, host: hello.host, roles: hello.roles))
            send(.welcome(welcome), to: peer)
            let roles = hello.roles.map(\.rawValue).joined(separator: ", ")
            note(.info, "`\(hello.worker)` joined from \(hello.host) (\(roles); \(hello.kernel))", of: hello.worker)
            adoptHeldPolicy(of: hello)
        case .drained:
            send(.shutdown(reason: Self.drainedReason), to: peer)
        case .repeated:
            send(.welcome(welcome), to: peer)
        case .returned:
            releaseLeases(of: hello.worker, because: "its connection was made anew")
            send(.welcome(welcome), to: peer)
            note(.info, "`\(hello.worker)` is back", of: hello.worker)
            adoptHeldPolicy(of: hello)
            renewTraining(with: hello.worker)
        }
    }

    mutating func disconnect(_ peer: PeerIdentifier) {
        guard let worker = membership.disconnect(peer) else { return }
        fault(.disconnected, "`\(worker)` is disconnected", of: worker)
        releaseLeases(of: worker, because: "it is disconnected")
    }

    /// What a process held is given to others at once: its silence need not be waited for.
    mutating func end(_ peer: PeerIdentifier) {
        guard let index = membership.index(at: peer) else { return }
        lose(membership.workers[index].name, because: "left: its process ended")
    }

    /// The worker is gone for good; what it held is given to others.
    mutating func lose(_ worker: String, because reason: String, _ kind: Fault.Kind = .workerLost) {
        guard membership[worker] != nil else { return }
        fault(kind, "`\(worker)` \(reason)", of: worker)
        releaseLeases(of: worker, because: "it \(reason)", avoiding: true)
        if gradients.shared?.leader == worker { endGradients() }
        if training.running?.lease.worker == worker { training.stop() }
        membership.remove(worker)
        persist(.workerLeft(name: worker, reason: reason))
    }

    mutating func refuse(_ worker: String, because reason: String) {
        send(.refused(reason: reason), toWorker: worker)
        lose(worker, because: "is refused: \(reason)", .workerRefused)
    }

    /// An answer that cannot be used. The third one refuses the worker for good.
    mutating func strike(_ worker: String, because reason: String) {
        counters.faultCount += 1
        let count = membership.strike(worker)
        fault(
            .unusableAnswer, "`\(worker)` \(reason) (strike \(count) of \(Membership.strikeLimit))", of: worker)
        if count >= Membership.strikeLimit {
            refuse(worker, because: "\(count) unusable answers, last: \(reason)")
        }
    }

    /// What could not be read may have been the answer to anything: the worker's groups go to others.
    mutating func takeMisbehaviour(of peer: PeerIdentifier, _ reason: String) {
        guard let worker = membership.heard(peer, at: now) else { return }
        releaseLeases(of: worker, because: reason, avoiding: true)
        strike(worker, because: reason)
    }

    /// Orders to stop that one heartbeat is answered with at most: the next one brings the rest up again.
    private static let cancelLimit = 1000

    mutating func takeHeartbeat(_ reports: [LeaseProgress], from worker: String) {
        var hasProgress = false
        var cancelCount = 0
        for report in reports {
            if rollouts.book.progress(of: worker, report) || verification.book.progress(of: worker, report)
                || gradients.book.progress(of: worker, report) || training.progress(of: worker, report)
            {
                hasProgress = true
            } else if cancelCount < Self.cancelLimit, !isLive(report.lease, on: worker) {
                cancelCount += 1
                send(.cancel(lease: report.lease), toWorker: worker)
            }
        }
        if hasProgress { extendLeases(of: worker) }
        // The answer that tells the worker that the coordinator lives: lease 0 is never given.
        send(.acknowledge(lease: LeaseIdentifier(0)), toWorker: worker)
    }

    private mutating func extendLeases(of worker: String) {
        rollouts.book.extend(worker, at: now)
        verification.book.extend(worker, at: now)
        gradients.book.extend(worker, at: now)
        training.extend(worker, at: now)
        membership.update(worker) { $0.restUntil = nil }
    }

    private func isLive(_ lease: LeaseIdentifier, on worker: String) -> Bool {
        if training.running?.lease.identifier == lease { return training.running?.lease.worker == worker }
        if case .live(let index) = rollouts.book.place(of: lease) {
            return rollouts.book.units[index].holder?.worker == worker
        }
        if case .live(let index) = verification.book.place(of: lease) {
            return verification.book.units[index].holder?.worker == worker
        }
        if case .live(let index) = gradients.book.place(of: lease) {
            return gradients.book.units[index].holder?.worker == worker
        }
        return false
    }

    /// Puts the worker's groups back in their places. A training order stays with it: its learner may come back.
    private mutating func releaseLeases(of worker: String, because reason: String, avoiding: Bool = false) {
        for index in rollouts.book.slots(heldBy: worker) {
            noteRelease(rollouts.book.units[index].holder, rollouts.book.units[index].key.words, reason)
            loseRollout(index, avoiding: avoiding)
        }
        for index in gradients.book.slots(heldBy: worker) {
            noteRelease(gradients.book.units[index].holder, gradients.book.units[index].work.words, reason)
            loseGradient(index, avoiding: avoiding)
        }
        for index in verification.book.slots(heldBy: worker).reversed() {
            let unit = verification.book.units[index]
            noteRelease(unit.holder, "verification of \(unit.key.words)", reason)
            loseVerification(index)
        }
    }

    private mutating func noteRelease(_ lease: Lease?, _ work: String, _ reason: String) {
        guard let lease else { return }
        note(
            .debug, "\(work) is taken from `\(lease.worker)`: \(reason)", of: lease.worker, lease: lease.identifier)
    }

    /// Silence, expired leases, loads that take too long.
    mutating func expire() {
        guard !progress.isFinished else { return }
        for worker in membership.silent(at: now) {
            lose(worker, because: "is silent for \(membership.silenceLimit.inSeconds) s")
        }
        for index in rollouts.book.expired(at: now) {
            guard let lease = rollouts.book.units[index].holder else { continue }
            expired(lease, rollouts.book.units[index].key.words)
            rollouts.book.change(index) { $0.expiryCount += 1 }
            loseRollout(index, avoiding: true)
        }
        for index in verification.book.expired(at: now).reversed() {
            guard let lease = verification.book.units[index].holder else { continue }
            expired(lease, "verification of \(verification.book.units[index].key.words)")
            verification.book.change(index) { $0.expiryCount += 1 }
            loseVerification(index)
        }
        for index in gradients.book.expired(at: now) {
            guard let lease = gradients.book.units[index].holder else { continue }
            expired(lease, gradients.book.units[index].work.words)
            gradients.book.change(index) { $0.expiryCount += 1 }
            loseGradient(index, avoiding: true)
        }
        if let lease = training.running?.lease, lease.deadline <= now {
            expired(lease, "training")
            training.expire()
            failTraining("no progress for \(lease.length.inSeconds) s", retryable: true)
        }
        for index in membership.loads.due(at: aLeaseAgo) {
            guard case .loading(let manifest, _) = membership.workers[index].policy else { continue }
            let name = membership.workers[index].name
            fault(
                .policyRefused, "`\(name)` has not loaded version \(manifest.version.rawValue); asking again",
                of: name)
            membership.update(name) { [now] in $0.policy = .failed(manifest, retryAt: now) }
        }
    }

    private mutating func expired(_ lease: Lease, _ work: String) {
        fault(
            .leaseExpired,
            "`\(lease.worker)` made no progress on \(work) for \(lease.length.inSeconds) s; given to another",
            of: lease.worker, lease: lease.identifier)
        send(.cancel(lease: lease.identifier), toWorker: lease.worker)
        membership.update(lease.worker) { [now, leaseLength] in $0.restUntil = now + leaseLength }
    }

    /// A result nobody waits for: the worker may forget it.
    mutating func dismiss(_ lease: LeaseIdentifier, from worker: String) {
        counters.duplicateCount += 1
        send(.acknowledge(lease: lease), toWorker: worker)
    }
}

extension GroupKey {
    /// For notes: "training 3/0" is the first group of step 3.
    var words: String { "\(purpose) \(step)/\(ordinal)" }
}
