// What is to be said to whom, until the loop has done what arrived.

import Cluster
import Rollouts

/// Messages gather by peer, so that all that a turn of the loop has to say to one is one frame. Acknowledgements wait a
/// little longer, for something to travel with: nobody waits for them.
struct Outbox {
    /// Messages for one peer at a time: as many as the socket queues for it. A training batch is far below.
    static let limit = 10_000
    /// How long an acknowledgement is kept back: some orders' time; far below any limit for silence.
    static let patience = Duration.milliseconds(20)

    private struct Queue {
        var messages: [Message] = []
        var isUrgent = false
    }

    private var queues: [PeerIdentifier: Queue] = [:]
    /// In the order in which the first urgent message to each came.
    private var urgent: [PeerIdentifier] = []
    /// In the order in which the first message to each came; some may be under `urgent` too, or have nothing left.
    private var patient: [PeerIdentifier] = []
    /// When those that are kept back go all the same; nil when there are none.
    private(set) var deadline: MonotonicTime?

    /// - Returns: false, and nothing is left of what was there, if it is too much.
    mutating func add(
        _ message: Message, to peer: PeerIdentifier, at now: @autoclosure () -> MonotonicTime
    ) -> Bool {
        var queue = queues.removeValue(forKey: peer) ?? Queue()
        guard queue.messages.count < Self.limit else { return false }
        if !Self.isPatient(message) {
            if !queue.isUrgent { urgent.append(peer) }
            queue.isUrgent = true
        } else if queue.messages.isEmpty {
            patient.append(peer)
            deadline = deadline ?? now() + Self.patience
        }
        queue.messages.append(message)
        queues[peer] = queue
        return true
    }

    /// What is left to be said to a peer that is gone, or to whom nothing more is to be said.
    mutating func forget(_ peer: PeerIdentifier) { queues[peer] = nil }

    /// - Returns: everything for those that something urgent is to be said to, in order; everything that there is once
    ///   the deadline is over.
    mutating func take(at now: @autoclosure () -> MonotonicTime) -> [(peer: PeerIdentifier, messages: [Message])] {
        take(isLate: deadline.map { now() >= $0 } ?? false)
    }

    /// - Returns: everything.
    mutating func takeAll() -> [(peer: PeerIdentifier, messages: [Message])] { take(isLate: true) }

    private mutating func take(isLate: Bool) -> [(peer: PeerIdentifier, messages: [Message])] {
        var peers = urgent
        urgent.removeAll(keepingCapacity: true)
        if isLate {
            peers += patient
            patient.removeAll(keepingCapacity: true)
            deadline = nil
        }
        return peers.compactMap { peer in queues.removeValue(forKey: peer).map { (peer, $0.messages) } }
    }

    /// An echo of a heartbeat is none: a worker counts the time until it.
    private static func isPatient(_ message: Message) -> Bool {
        guard case .acknowledge(let lease) = message else { return false }
        return lease != LeaseIdentifier(0)
    }
}
