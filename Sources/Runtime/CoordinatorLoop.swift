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
    func note(_ note: Note)
    /// Called about once a second and whenever something was decided.
    func observe(_ coordinator: Coordinator, at now: MonotonicTime)
    /// Child processes that ended, log lines, and when to look again.
    func tend(at now: MonotonicTime) -> MonotonicTime?
    /// Processes of this host that are known to have ended since the last call: their silence need not be waited for.
    func takeEndedProcesses() -> [Int32]
}

/// Runs the core over a link until it finishes.
package struct CoordinatorLoop<Link: ServerLink & ~Copyable>: ~Copyable {
    private var link: Link
    private var core: Coordinator
    private let shell: any CoordinatorShell
    private let wake: WakePipe
    private let runName: String
    private var pending: [Event] = []
    /// One per connection that was heard from; looked up by peer, never iterated.
    private var conversations: [PeerIdentifier: Conversation] = [:]
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
            if let outcome { return outcome }
            let now = MonotonicTime.now
            if now >= nextLook {
                shell.observe(core, at: now)
                nextLook = now + .seconds(1)
            }
            let tended = shell.tend(at: now)
            for process in shell.takeEndedProcesses() {
                guard let peer = localPeers.removeValue(forKey: process) else { continue }
                handle(.received(.goodbye(reason: "its process ended"), from: peer))
                conversations[peer] = nil
            }
            if outcome != nil { continue }
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
        for _ in 0..<1024 {
            guard let arrival = link.receive() else { return }
            switch arrival {
            case .frame(let frame, let peer): receive(frame, from: peer)
            case .malformed(let peer):
                shell.note(Note(.warning, "a message from \(peer) was dropped: it is not one frame"))
            }
            drainPending()
            if outcome != nil { return }
        }
    }

    /// A peer that was not heard from before may only say hello, and only briefly.
    private mutating func receive(_ frame: [UInt8], from peer: PeerIdentifier) {
        let known = conversations[peer]
        var conversation = known ?? .coordinator(run: runName)
        let limit = known == nil ? WireLimits.payloadBytesBeforeAdmission : WireLimits.maximumPayloadBytes
        do throws(WireError) {
            let received = try conversation.open(frame, payloadLimitBytes: limit)
            if known == nil {
                guard case .hello = received.message else { return }
            }
            if case .hello(let hello) = received.message, hello.host == host {
                localPeers[hello.processIdentifier] = peer
            }
            conversations[peer] = conversation
            if received.missed > 0 {
                shell.note(Note(.warning, "\(received.missed) messages from \(peer) were lost; leases make them good"))
            }
            handle(.received(received.message, from: peer))
        } catch {
            shell.note(Note(.warning, "a message from \(peer) was dropped: \(error)"))
        }
    }

    private mutating func drainPending() {
        while !pending.isEmpty, outcome == nil { handle(pending.removeFirst()) }
    }

    private mutating func handle(_ event: Event) {
        perform(core.handle(event, at: MonotonicTime.now))
    }

    /// Consecutive records are one transaction. A store that fails ends the list: nothing after it was promised.
    private mutating func perform(_ effects: [Effect]) {
        var records: [Record] = []
        for effect in effects {
            if case .persist(let record) = effect {
                records.append(record)
                continue
            }
            do {
                if !records.isEmpty {
                    try shell.persist(records)
                    records = []
                }
                try perform(effect)
            } catch {
                pending.append(.storeFailed(reason: "\(error)"))
                return
            }
        }
        guard !records.isEmpty else { return }
        do {
            try shell.persist(records)
        } catch {
            pending.append(.storeFailed(reason: "\(error)"))
        }
    }

    private mutating func perform(_ effect: Effect) throws {
        switch effect {
        case .send(let message, let peer):
            var conversation = conversations[peer] ?? .coordinator(run: runName)
            let frame = conversation.seal(message)
            conversations[peer] = conversation
            // A peer that lets a full queue pile up is as good as gone: its leases go to others.
            if link.send(frame, to: peer) != .sent {
                conversations[peer] = nil
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
        case .note(let note): shell.note(note)
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
