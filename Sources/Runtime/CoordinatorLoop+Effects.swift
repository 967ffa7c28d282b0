// What the core asks for, done in order: records, messages, and what waits for them.

import Cluster
import Rollouts
import Transport
import Wire

extension CoordinatorLoop where Link: ~Copyable {
    /// Records gather until all that has arrived is read and the transaction before theirs is over. What promises
    /// something waits for them, in order; orders for work do not.
    mutating func perform(_ effects: [Effect]) {
        for effect in effects {
            if case .persist(let record) = effect {
                commit.add(record)
                continue
            }
            if !commit.isIdle, !commit.mayOvertake(effect) {
                if !GroupCommit.isFence(effect) {
                    commit.hold(effect)
                    continue
                }
                // The store failed: nothing after it was promised.
                guard settle() else { return }
            }
            do {
                try perform(effect)
            } catch {
                pending.append(.storeFailed(reason: "\(error)"))
                return
            }
        }
        if commit.isFull {
            deliver()
            takeCommit(isWaiting: true)
            startCommit()
        }
    }

    /// Sends what the last turn had to say.
    mutating func deliver() {
        for (peer, messages) in outbox.take(at: .now) { deliver(messages, to: peer) }
    }

    /// Sends also what could wait.
    mutating func deliverAll() {
        for (peer, messages) in outbox.takeAll() { deliver(messages, to: peer) }
    }

    /// - Parameter key: what a new connection proved.
    func connection(to peer: PeerIdentifier, key: PublicKey? = nil) -> PeerConnection {
        connections[peer] ?? PeerConnection(conversation: .coordinator(run: runName), key: key, lastHeard: .now)
    }

    private mutating func deliver(_ messages: [Message], to peer: PeerIdentifier) {
        var connection = connection(to: peer)
        connection.budget.grant(PeerConnection.perOrderSent * messages.count(where: PeerConnection.isOrder))
        let isSent = connection.conversation.seal(messages) { link.send($0, to: peer) == .sent }
        connections[peer] = connection
        // A peer that lets a full queue pile up is as good as gone: its leases go to others.
        if !isSent { lose(peer) }
    }

    private mutating func lose(_ peer: PeerIdentifier) {
        connections[peer] = nil
        pending.append(.disconnected(peer))
    }

    /// Hands the records that have gathered to the journal, if it is free.
    mutating func startCommit() {
        guard commit.hasNext else { return }
        let records = commit.begin()
        do {
            try shell.prepare(records)
            commits.start(records)
        } catch {
            failStore("\(error)")
        }
    }

    /// Does what waited for a transaction that is over.
    mutating func takeCommit(isWaiting: Bool) {
        guard let result = commits.takeResult(isWaiting: isWaiting) else { return }
        switch result {
        case .failed(let reason): failStore(reason)
        case .durable:
            let batch = commit.end()
            do {
                try shell.recorded(batch.records)
                for effect in batch.waiting { try perform(effect) }
            } catch {
                failStore("\(error)")
            }
        }
    }

    /// Waits until every record is durable and what waited is done.
    /// - Returns: whether they are.
    private mutating func settle() -> Bool {
        while !commit.isIdle {
            let failureCount = failureCount
            startCommit()
            deliver()
            takeCommit(isWaiting: true)
            if self.failureCount > failureCount { return false }
        }
        return true
    }

    /// Nothing that has gathered is stored, and nothing that waited is done: it came after what could not be stored.
    private mutating func failStore(_ reason: String) {
        failureCount += 1
        commit = GroupCommit()
        pending.append(.storeFailed(reason: reason))
    }

    private mutating func perform(_ effect: Effect) throws {
        switch effect {
        case .send(let message, let peer):
            // A peer to whom so much is to be said at once is as good as gone, as one whose queue is full.
            guard outbox.add(message, to: peer, at: .now) else { return lose(peer) }
            // A worker that is refused makes its socket anew before it says anything else.
            guard case .refused = message else { return }
            var connection = connection(to: peer)
            connection.isRefused = true
            connections[peer] = connection
        case .persist:
            preconditionFailure("records are collected before")
        case .drawPrompts(let purpose, let step, let ordinals, let position):
            pending.append(
                .promptsDrawn(
                    try shell.drawPrompts(purpose, step: step, ordinals: ordinals, position: position)))
        case .report(let metrics): try shell.report(metrics)
        case .reportEvaluation(let report): try shell.report(report)
        case .rewind(let step): try shell.rewind(toStep: step)
        case .forgetBlobs(let version): shell.forgetBlobs(before: version)
        case .removeBlobs(let blobs): shell.removeBlobs(blobs)
        case .note(let note): shell.note(note)
        case .answer(let answer, let number): shell.answer(answer, number: number)
        case .retire(let process, let host): shell.retire(process: process, host: host)
        case .finish(let outcome): self.outcome = outcome
        }
    }
}
