// The coordinator's loop thread: bytes → message → event → core → effects, performed in order.

import Cluster
import Foundation
import Rollouts
import Transport
import Wire

/// Runs the core over a link until it finishes.
package struct CoordinatorLoop<Link: ServerLink & ~Copyable>: ~Copyable {
    private var link: Link
    private var core: Coordinator
    private let shell: any CoordinatorShell
    private let wake: WakePipe
    private let runName: String
    private var pending: [Event] = []
    private var commit = GroupCommit()
    private let commits: CommitThread
    private var connections = PeerConnections()
    private var outbox = Outbox()
    /// What is read of connections that did not say hello yet, together: those without a key, and those with one.
    private var strangers = RateBudget(burst: 4096, perSecond: 1024)
    private var newcomers = RateBudget(burst: 16_384, perSecond: 4096)
    private var refusals = RefusalTally()
    /// Connections of this host's worker processes; looked up, never iterated.
    private var localPeers: [Int32: PeerIdentifier] = [:]
    private let host = ProcessInfo.processInfo.hostName
    private var outcome: RunOutcome?
    private var failureCount = 0
    private var signalsSeen = 0

    package init(
        link: consuming Link, core: Coordinator, shell: any CoordinatorShell, wake: WakePipe, run: String
    ) throws(TransportError) {
        self.link = link
        self.core = core
        self.shell = shell
        self.wake = wake
        runName = run
        commits = try CommitThread(shell.journal, wake: wake)
    }

    /// - Returns: how the run ended.
    package mutating func run() -> RunOutcome {
        handle(.start)
        var nextLook = MonotonicTime.now
        // Under load there are thousands of turns a second.
        var nextTending = nextLook
        var tended: MonotonicTime?
        while true {
            drainPending()
            deliver()
            takeCommit(isWaiting: false)
            startCommit()
            // A run's end waits for everything before it.
            if let outcome {
                deliverAll()
                shell.observe(core, at: .now)
                return outcome
            }
            guard pending.isEmpty else { continue }
            let now = MonotonicTime.now
            if now >= nextLook {
                shell.observe(core, at: now)
                nextLook = now + .seconds(1)
            }
            let isTending = now >= nextTending
            if isTending {
                tended = tend(at: now)
                nextTending = now + .milliseconds(5)
            }
            startCommit()
            deliver()
            if outcome != nil || !pending.isEmpty { continue }
            let deadlines = [core.nextDeadline, isTending ? tended : nextTending, nextLook, outbox.deadline]
            let deadline = deadlines.compactMap { $0 }.min() ?? nextLook
            _ = link.wait(timeout: max(.zero, deadline - now), wake: wake)
            let signals = Signals.received
            if signals > signalsSeen {
                handle(signalsSeen == 0 ? .interrupt : .abandon)
                signalsSeen = signals
            }
            receiveAll()
            if let due = core.nextDeadline, MonotonicTime.now >= due { handle(.tick) }
        }
    }

    /// What is not a message: processes, admissions, an operator, what is to be said about strangers.
    /// - Returns: when to look again although nothing else happens.
    private mutating func tend(at now: MonotonicTime) -> MonotonicTime? {
        let next = shell.tend(at: now)
        for process in shell.takeEndedProcesses() {
            guard let peer = localPeers.removeValue(forKey: process) else { continue }
            handle(.ended(peer))
            outbox.forget(peer)
            connections[peer] = nil
        }
        for key in shell.takeRevokedKeys() { withdraw(key) }
        for (number, request) in shell.takeRequests(at: now) { handle(.asked(request, number: number)) }
        for line in refusals.take(at: now) { shell.note(Note(.warning, line)) }
        connections.prune(at: now)
        return next
    }

    /// Keeps the link open after the end: a worker drops what it has not read when its connection closes, and the last
    /// thing sent is the order to go.
    package mutating func linger(_ duration: Duration) {
        let end = MonotonicTime.now + duration
        while MonotonicTime.now < end {
            _ = link.wait(timeout: max(.zero, end - MonotonicTime.now), wake: wake)
            while link.receive() != nil {}
        }
    }

    /// Everything that has arrived, but not so much that time stands still: nothing is sent meanwhile.
    private mutating func receiveAll() {
        let end = MonotonicTime.now + .milliseconds(20)
        // One look at who gets work next serves all of it.
        defer { if core.isUnsettled, outcome == nil { handle(.tick) } }
        for _ in 0..<1024 {
            guard let arrival = link.receive() else { return }
            switch arrival {
            case .frame(let frame, let peer, let key): receive(frame, from: peer, key)
            case .malformed(let peer):
                if connections[peer] == nil {
                    refusals.add("a stranger's message was dropped: it is not one frame", at: .now)
                } else {
                    handle(.misbehaved(peer, reason: "sent a message that is not one frame"))
                }
            }
            drainPending()
            if outcome != nil || MonotonicTime.now >= end { return }
        }
    }

    /// A peer that was not heard from before may only say hello, and only briefly.
    private mutating func receive(_ frame: [UInt8], from peer: PeerIdentifier, _ key: PublicKey?) {
        let now = MonotonicTime.now
        let isKnown = connections[peer] != nil
        var connection =
            connections[peer]
            ?? PeerConnection(conversation: .coordinator(run: runName), key: key, lastHeard: now)
        guard !connection.isRefused else { return }
        connection.lastHeard = now
        if isKnown {
            guard take(1, of: &connection, peer, at: now) else { return }
        } else if key == nil ? !strangers.take(at: now) : !newcomers.take(at: now) {
            return refusals.add("strangers say more than can be read; some of it was dropped", at: now)
        }
        let limit = isKnown ? WireLimits.maximumPayloadBytes : WireLimits.payloadBytesBeforeAdmission
        do throws(WireError) {
            let received = try connection.conversation.open(frame, payloadLimitBytes: limit)
            if case .hello(let hello)? = received.messages.first {
                if let objection = shell.objection(to: hello, key: key) {
                    return refuse(peer, connection, objection)
                }
                if key == nil, hello.host == host { localPeers[hello.processIdentifier] = peer }
            } else if !isKnown {
                // Nothing is kept of it: it is to make its socket anew and say hello over that one.
                if case .goodbye? = received.messages.last { return }
                let answer = connection.conversation.seal(.refused(reason: Coordinator.unknownConnection))
                // If it does not arrive, the worker hears nothing and makes its socket anew all the same.
                _ = link.send(answer, to: peer)
                return
            }
            guard take(received.messages.count - 1, of: &connection, peer, at: now) else { return }
            if received.missed > 0 {
                let worker = core.name(of: peer)
                let who = worker.map { "`\($0)`" } ?? "\(peer)"
                let what = received.missed == 1 ? "a frame" : "\(received.missed) frames"
                let text = "\(what) from \(who) did not arrive; leases make that good"
                shell.note(Note(.warning, text, worker: worker))
            }
            for message in received.messages {
                perform(core.handle(.received(message, from: peer), at: now, isMoreComing: true))
                drainPending()
                if outcome != nil || connections[peer]?.isRefused == true { return }
            }
        } catch {
            drop(error, from: peer, connection, isKnown: isKnown)
        }
    }

    /// Keeps the connection, less so many messages of its budget.
    /// - Returns: false, and a strike, if there were not so many left.
    private mutating func take(
        _ count: Int, of connection: inout PeerConnection, _ peer: PeerIdentifier, at now: MonotonicTime
    ) -> Bool {
        let isWithin = connection.budget.take(count, at: now)
        // One strike for all of them.
        if !isWithin { connection.budget.grant(PeerConnection.burst) }
        connections[peer] = connection
        if !isWithin { handle(.misbehaved(peer, reason: "sent more than it was asked for")) }
        return isWithin
    }

    /// Damage on the way and frames of an earlier connection are nobody's fault; what is no message is.
    private mutating func drop(
        _ error: WireError, from peer: PeerIdentifier, _ connection: PeerConnection, isKnown: Bool
    ) {
        switch error.kind {
        case .version(let theirs):
            let ours = ProtocolVersion.current
            refuse(
                peer, connection,
                "a worker speaks protocol \(theirs.major).\(theirs.minor), this coordinator "
                    + "\(ours.major).\(ours.minor); install the same version on both hosts")
        case .message where isKnown, .tooLarge where isKnown:
            handle(.misbehaved(peer, reason: "sent what is no message: \(error)"))
        default:
            let who = isKnown ? "a worker" : "a stranger"
            refusals.add("a message of \(who) was dropped: \(error)", at: .now)
        }
    }

    /// Says why not, and hears nothing more over this connection.
    private mutating func refuse(_ peer: PeerIdentifier, _ connection: PeerConnection, _ reason: String) {
        var connection = connection
        outbox.forget(peer)
        refusals.add("refused: \(reason)", at: .now)
        // If it does not arrive, the worker hears nothing and asks again.
        _ = link.send(connection.conversation.seal(.refused(reason: reason)), to: peer)
        connection.isRefused = true
        connections[peer] = connection
    }

    /// What these workers were doing is given to others.
    private mutating func withdraw(_ key: PublicKey) {
        for peer in connections.peers(with: key) {
            guard var connection = connections[peer], !connection.isRefused else { continue }
            outbox.forget(peer)
            let reason = "the admission of this worker was revoked; it needs a new invitation"
            _ = link.send(connection.conversation.seal(.shutdown(reason: reason)), to: peer)
            connection.isRefused = true
            connections[peer] = connection
            handle(.received(.goodbye(reason: "its admission was revoked"), from: peer))
        }
    }

    private mutating func drainPending() {
        while !pending.isEmpty, outcome == nil { handle(pending.removeFirst()) }
    }

    private mutating func handle(_ event: Event) {
        perform(core.handle(event, at: MonotonicTime.now))
    }

    /// Records gather until all that has arrived is read and the transaction before theirs is over. What promises
    /// something waits for them, in order; orders for work do not.
    private mutating func perform(_ effects: [Effect]) {
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
    private mutating func deliver() {
        for (peer, messages) in outbox.take(at: .now) { deliver(messages, to: peer) }
    }

    /// Sends also what could wait.
    private mutating func deliverAll() {
        for (peer, messages) in outbox.takeAll() { deliver(messages, to: peer) }
    }

    private func connection(to peer: PeerIdentifier) -> PeerConnection {
        connections[peer] ?? PeerConnection(conversation: .coordinator(run: runName), key: nil, lastHeard: .now)
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
        outbox.forget(peer)
        connections[peer] = nil
        pending.append(.disconnected(peer))
    }

    /// Hands the records that have gathered to the journal, if it is free.
    private mutating func startCommit() {
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
    private mutating func takeCommit(isWaiting: Bool) {
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
