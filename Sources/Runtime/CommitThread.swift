// How records become durable while the loop goes on: on a thread of its own, one transaction at a time.

import Cluster
import Transport

/// Waiting for the disk is all it does. The loop starts a transaction, is woken when it is over, and takes what came
/// of it before it starts the next. Loop thread only, but for the thread itself.
final class CommitThread {
    enum Result: Sendable {
        case durable
        /// Nothing of the transaction was kept.
        case failed(reason: String)
    }

    private let orders = Mailbox<[Record]>()
    private let results: Mailbox<Result>
    private let thread: NamedThread
    private(set) var isBusy = false

    /// - Parameter wake: written to when a transaction is over.
    init(_ journal: any RecordJournal, wake: WakePipe) throws(TransportError) {
        let results = Mailbox<Result>(wake: { wake.wake() })
        self.results = results
        thread = try NamedThread("commit") { [orders] in
            while let transactions = orders.wait() {
                for records in transactions {
                    do {
                        try journal.append(records)
                        results.put(.durable)
                    } catch {
                        results.put(.failed(reason: "\(error)"))
                    }
                }
            }
        }
    }

    /// The thread ends with what it was asked for.
    deinit {
        orders.close()
        thread.join()
    }

    func start(_ records: [Record]) {
        precondition(!isBusy, "CommitThread: one transaction at a time")
        isBusy = true
        orders.put(records)
    }

    /// - Parameter isWaiting: until the transaction under way is over.
    /// - Returns: what came of it, once; nil when none is under way, or it is not over.
    func takeResult(isWaiting: Bool) -> Result? {
        guard isBusy, let result = isWaiting ? results.wait()?.first : results.takeAll().first else { return nil }
        isBusy = false
        return result
    }
}
