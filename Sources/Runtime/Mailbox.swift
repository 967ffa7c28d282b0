// How threads hand values to each other: a locked queue and a way to wake the reader.

import Foundation

/// Many writers, one reader. The reader either polls a descriptor that `wake` writes to, or sleeps in `wait`.
///
/// `@unchecked Sendable`: `items` and `closed` are guarded by `condition`.
package final class Mailbox<Item: Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    private var items: [Item] = []
    private var closed = false
    private let wake: (@Sendable () -> Void)?

    /// - Parameter wake: called after every put, outside the lock.
    package init(wake: (@Sendable () -> Void)? = nil) { self.wake = wake }

    package func put(_ item: Item) {
        condition.lock()
        items.append(item)
        condition.signal()
        condition.unlock()
        wake?()
    }

    /// Everything put so far, oldest first; never waits.
    package func takeAll() -> [Item] {
        condition.lock()
        defer { condition.unlock() }
        let taken = items
        items = []
        return taken
    }

    /// Sleeps until there is something, or the mailbox is closed (then nil once empty).
    package func wait() -> [Item]? {
        condition.lock()
        defer { condition.unlock() }
        while items.isEmpty && !closed { condition.wait() }
        if items.isEmpty { return nil }
        let taken = items
        items = []
        return taken
    }

    package func close() {
        condition.lock()
        closed = true
        condition.broadcast()
        condition.unlock()
    }
}
