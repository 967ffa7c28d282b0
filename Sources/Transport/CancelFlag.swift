// How one thread tells another's transfer to stop.

import Synchronization

package final class CancelFlag: Sendable {
    /// Readable once cancelled, so that a wait ends.
    let wake: WakePipe
    private let cancelled = Atomic(false)

    package init() throws(TransportError) { wake = try WakePipe() }

    package func cancel() {
        cancelled.store(true, ordering: .releasing)
        wake.wake()
    }

    package var isCancelled: Bool { cancelled.load(ordering: .acquiring) }
}
