// What waits for the next transaction, and how much of it may.

import Cluster

/// Records that are to become durable together, and the messages and notes that come after the first of them. A record
/// may become durable before a message that precedes it is sent: a message can be lost at any time, a record cannot.
struct GroupCommit {
    /// Beyond this the store is asked at once: memory, and how long a crash sends the workers back.
    private static let recordLimit = 512

    var records: [Record] = []
    /// `.send` and `.note` alone.
    var after: [Effect] = []

    var isFull: Bool { records.count >= Self.recordLimit }
}
