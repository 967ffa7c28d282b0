// The coordinator's loop thread: bytes → message → event → core → effects, performed in order.

import Cluster
import Foundation
import Rollouts
import Transport
import Wire

/// What the loop's shell does with the effects that are not messages.
package protocol CoordinatorShell: AnyObject {
    /// Makes records durable, all or none; called before any later effect is performed.
    func persist(_ records: [Record]) throws
    func drawPrompts(
        _ purpose: Purpose, step: Int, ordinals: Range<Int>, position: Int
    ) throws -> [Prompt]
    func report(_ metrics: StepMetrics) throws
    func report(_ evaluation: EvaluationReport) throws
    func rewind(toStep step: Int) throws
    func forgetBlobs(before version: PolicyVersion)
    func removeBlobs(_ blobs: [BlobReference])
    func note(_ note: Note)
    /// Called about once a second and whenever something was decided.
    func observe(_ coordinator: Coordinator, at now: MonotonicTime)
    /// Child processes that ended, log lines, and when to look again.
    func tend(at now: MonotonicTime) -> MonotonicTime?
    /// Why a worker may not be who it says under the key that its connection proved (nil: none was); nil: it may.
    func objection(to hello: Hello, key: PublicKey?) -> String?
    /// Keys that are not admitted any more, each once.
    func takeRevokedKeys() -> [PublicKey]
    /// Processes of this host that are known to have ended since the last call: their silence need not be waited for.
    func takeEndedProcesses() -> [Int32]
    /// What an operator asked for since the last call; each is answered under its number, unless the run ends first.
    func takeRequests(at now: MonotonicTime) -> [(number: UInt64, request: OperatorRequest)]
    func answer(_ answer: OperatorAnswer, number: UInt64)
    /// This worker process leaves for good.
    func retire(process: Int32, host: String)
}

extension CoordinatorShell {
    package func objection(to hello: Hello, key: PublicKey?) -> String? { nil }
    package func takeRevokedKeys() -> [PublicKey] { [] }
    package func takeRequests(at now: MonotonicTime) -> [(number: UInt64, request: OperatorRequest)] { [] }
    package func answer(_ answer: OperatorAnswer, number: UInt64) {}
    package func retire(process: Int32, host: String) {}
}

/// Runs the core over a link until it finishes.
package struct CoordinatorLoop<Link: ServerLink & ~Copyable>: ~Copyable {
    private var link: Link
    private var core: Coordinator
    private let shell: any CoordinatorShell
    private let wake: WakePipe
    private let runName: String
    private var pending: [Event] = []
    private var commit = GroupCommit()
    private var connections = PeerConnections()
    /// What is read of connections that did not say hello yet, together.
    private var strangers = RateBudget(burst: 4096, perSecond: 1024)
    private var refusals = RefusalTally()
    /// Connections of this host's worker processes; looked up, never iterated.
    private var localPeers: [Int32: PeerIdentifier] = [:]
    private let host = ProcessInfo.processInfo.hostName
    private var outcome: RunOutcome?
    private var signalsSeen = 0

    package init(
        link: consuming Link, core: Coordinator, shell: any CoordinatorShell, wake: WakePipe, run: String
    ) {
        self.link = link
        self.core = core
        self.shell = shell
        self.wake = wake
        runName = run
    }

    /// - Returns: how the run ended.
    package mutating func run() -> RunOutcome {
        handle(.start)
        var nextLook = MonotonicTime.now
        while true {
            drainPending()
            // Nothing is left waiting while the loop waits, or at its end.
            commitRecords()
            if let outcome {
                shell.observe(core, at: .now)
                return outcome
            }
            guard pending.isEmpty else { continue }
            let now = MonotonicTime.now
            if now >= nextLook {
                shell.observe(core, at: now)
                nextLook = now + .seconds(1)
            }
            let tended = shell.tend(at: now)
            for process in shell.takeEndedProcesses() {
                guard let peer = localPeers.removeValue(forKey: process) else { continue }
                handle(.ended(peer))
                connections[peer] = nil
            }
            for key in shell.takeRevokedKeys() { withdraw(key) }
            for (number, request) in shell.takeRequests(at: now) { handle(.asked(request, number: number)) }
            for line in refusals.take(at: now) { shell.note(Note(.warning, line)) }
            connections.prune(at: now)
            commitRecords()
            if outcome != nil || !pending.isEmpty { continue }
            let deadline = [core.nextDeadline, tended, nextLook].compactMap { $0 }.min() ?? nextLook
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

    /// Keeps the link open after the end: a worker drops what it has not read when its connection closes, and the last
    /// thing sent is the order to go.
    package mutating func linger(_ duration: Duration) {
        let end = MonotonicTime.now + duration
        while MonotonicTime.now < end {
            _ = link.wait(timeout: max(.zero, end - MonotonicTime.now), wake: wake)
            while link.receive() != nil {}
        }
    }

    /// Everything that has arrived, but not so much that time stands still.
    private mutating func receiveAll() {
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
            if outcome != nil { return }
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
            let isWithin = connection.budget.take(at: now)
            if !isWithin { connection.budget.grant(PeerConnection.burst) }
            connections[peer] = connection
            guard isWithin else { return handle(.misbehaved(peer, reason: "sent more than it was asked for")) }
        } else if !strangers.take(at: now) {
            return refusals.add("strangers say more than can be read; some of it was dropped", at: now)
        }
        let limit = isKnown ? WireLimits.maximumPayloadBytes : WireLimits.payloadBytesBeforeAdmission
        do throws(WireError) {
            let received = try connection.conversation.open(frame, payloadLimitBytes: limit)
            if case .hello(let hello) = received.message {
                if let objection = shell.objection(to: hello, key: key) {
                    return refuse(peer, connection, objection)
                }
                if key == nil, hello.host == host { localPeers[hello.processIdentifier] = peer }
            } else if !isKnown {
                // Nothing is kept of it: it is to make its socket anew and say hello over that one.
                if case .goodbye = received.message { return }
                let answer = connection.conversation.seal(.refused(reason: Coordinator.unknownConnection))
                // If it does not arrive, the worker hears nothing and makes its socket anew all the same.
                _ = link.send(answer, to: peer)
                return
            }
            connections[peer] = connection
            if received.missed > 0 {
                let worker = core.name(of: peer)
                let who = worker.map { "`\($0)`" } ?? "\(peer)"
                let text = "\(received.missed) messages from \(who) were lost; leases make them good"
                shell.note(Note(.warning, text, worker: worker))
            }
            perform(core.handle(.received(received.message, from: peer), at: .now, isMoreComing: true))
        } catch {
            drop(error, from: peer, connection, isKnown: isKnown)
        }
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

    /// What is to be durable waits for more of its kind until all that has arrived is read: one transaction, one wait
    /// for the disk. Messages and notes after it wait with it, in order; everything else ends the waiting first.
    private mutating func perform(_ effects: [Effect]) {
        for effect in effects {
            switch effect {
            case .persist(let record):
                commit.records.append(record)
                continue
            case .send, .note:
                if !commit.records.isEmpty {
                    commit.after.append(effect)
                    continue
                }
            default:
                // The store failed: nothing after it was promised.
                guard commitRecords() else { return }
            }
            do {
                try perform(effect)
            } catch {
                pending.append(.storeFailed(reason: "\(error)"))
                return
            }
        }
        if commit.isFull { commitRecords() }
    }

    /// - Returns: whether the records, if there were any, are durable and what waited for them was done.
    @discardableResult
    private mutating func commitRecords() -> Bool {
        guard !commit.records.isEmpty else { return true }
        let group = commit
        commit = GroupCommit()
        do {
            try shell.persist(group.records)
            for effect in group.after { try perform(effect) }
            return true
        } catch {
            pending.append(.storeFailed(reason: "\(error)"))
            return false
        }
    }

    private mutating func perform(_ effect: Effect) throws {
        switch effect {
        case .send(let message, let peer):
            var connection =
                connections[peer]
                ?? PeerConnection(conversation: .coordinator(run: runName), key: nil, lastHeard: .now)
            let frame = connection.conversation.seal(message)
            connection.budget.grant(PeerConnection.perFrameSent)
            // A worker that is refused makes its socket anew before it says anything else.
            if case .refused = message { connection.isRefused = true }
            connections[peer] = connection
            // A peer that lets a full queue pile up is as good as gone: its leases go to others.
            if link.send(frame, to: peer) != .sent {
                connections[peer] = nil
                pending.append(.disconnected(peer))
            }
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

extension MonotonicTime {
    /// The shell's clock: it never jumps and goes on while the machine sleeps.
    package static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return MonotonicTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
}
