// What waits for a transaction, and what need not.

import Cluster
import Rollouts

/// Records that become durable together, and what is to be done after the first of them.
///
///     gathered ──(the journal is free)──▶ committing ──(durable)──▶ the effects that waited, in order
///
/// While one transaction is under way, the next one gathers: the slower the disk, the more share one wait for it.
/// A record may become durable before a message that precedes it is sent, never after one that follows it: a message
/// can be lost at any time, a record cannot.
struct GroupCommit {
    struct Batch {
        var records: [Record] = []
        /// In the order in which the core wanted them.
        var waiting: [Effect] = []
        /// Who is waited to be told more than that its results are kept.
        var addressed: Set<PeerIdentifier> = []

        mutating func hold(_ effect: Effect) {
            waiting.append(effect)
            guard case .send(let message, let peer) = effect else { return }
            if case .acknowledge = message { return }
            addressed.insert(peer)
        }
    }

    /// Beyond this the loop waits for the disk too: memory, and how long a crash sends the workers back.
    private static let recordLimit = 1024

    private var gathered = Batch()
    private var committing: Batch?

    var isIdle: Bool { committing == nil && gathered.records.isEmpty }
    var isFull: Bool { gathered.records.count >= Self.recordLimit }
    var hasNext: Bool { committing == nil && !gathered.records.isEmpty }

    mutating func add(_ record: Record) { gathered.records.append(record) }

    /// The effect waits for every record so far.
    mutating func hold(_ effect: Effect) {
        precondition(!isIdle, "GroupCommit: nothing to wait for")
        if gathered.records.isEmpty { committing?.hold(effect) } else { gathered.hold(effect) }
    }

    /// What promises nothing that a record says need not wait for the record. Orders for work are such: after a crash
    /// their leases are unknown and their results are made again, as they would be had the order been lost. They do
    /// not overtake anything else that the same peer is to be told; acknowledgements tell it nothing about work.
    /// Prompts are drawn from files that nothing changes.
    func mayOvertake(_ effect: Effect) -> Bool {
        switch effect {
        case .send(.rollout, let peer), .send(.verify, let peer):
            !gathered.addressed.contains(peer) && committing?.addressed.contains(peer) != true
        case .drawPrompts: true
        default: false
        }
    }

    /// Whether everything before it must be over: what changes the store itself, and the end.
    static func isFence(_ effect: Effect) -> Bool {
        switch effect {
        case .rewind, .finish: true
        default: false
        }
    }

    /// - Returns: the records of the next transaction, which is under way from now on.
    mutating func begin() -> [Record] {
        precondition(hasNext, "GroupCommit: a transaction is under way, or nothing is to be stored")
        committing = gathered
        gathered = Batch()
        return committing?.records ?? []
    }

    /// The transaction is over.
    mutating func end() -> Batch {
        guard let batch = committing else { preconditionFailure("GroupCommit: no transaction is under way") }
        committing = nil
        return batch
    }
}
