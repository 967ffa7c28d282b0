// The coordinator's loop thread: bytes → message → event → core → effects, performed in order.

import Cluster
import Foundation
import Rollouts
import Transport
import Wire

/// Runs the core over a link until it finishes.
package struct CoordinatorLoop<Link: ServerLink & ~Copyable>: ~Copyable {
    var link: Link
    var core: Coordinator
    let shell: any CoordinatorShell
    private let wake: WakePipe
    let runName: String
    var pending: [Event] = []
    var commit = GroupCommit()
    let commits: CommitThread
    var connections = PeerConnections()
    var outbox = Outbox()
    /// What is read of connections that did not say hello yet, together: those without a key, and those with one.
    var strangers = RateBudget(burst: 4096, perSecond: 1024)
    var newcomers = RateBudget(burst: 16_384, perSecond: 4096)
    var refusals = RefusalTally()
    /// Connections of this host's worker processes; looked up, never iterated.
    var localPeers: [Int32: PeerIdentifier] = [:]
    let host = ProcessInfo.processInfo.hostName
    var outcome: RunOutcome?
    var failureCount = 0
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

    mutating func drainPending() {
        while !pending.isEmpty, outcome == nil { handle(pending.removeFirst()) }
    }

    mutating func handle(_ event: Event) {
        perform(core.handle(event, at: MonotonicTime.now))
    }
}
