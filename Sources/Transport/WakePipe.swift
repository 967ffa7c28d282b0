// How another thread, or a signal handler, ends a loop's wait.

import CZeroMQ
import Glibc

/// An eventfd: level-triggered, so a wake that comes before the wait is not lost.
package final class WakePipe: Sendable {
    /// A signal handler may write to it: `WakePipe.wake(descriptor)` allocates nothing and takes no lock.
    package let descriptor: Int32

    package init() throws(TransportError) {
        descriptor = rookery_eventfd()
        if descriptor < 0 { throw .system("make", "an eventfd") }
    }

    deinit { close(descriptor) }

    package func wake() { WakePipe.wake(descriptor) }

    /// Safe in a signal handler (signal-safety(7) lists write); keeps `errno`.
    package static func wake(_ descriptor: Int32) {
        let saved = errno
        var one: UInt64 = 1
        // The only failure of a write to an eventfd is a full counter: then it is readable anyway.
        _ = write(descriptor, &one, MemoryLayout<UInt64>.size)
        errno = saved
    }

    /// Takes all wakes so far.
    /// - Returns: whether there was one.
    @discardableResult package func drain() -> Bool {
        var count: UInt64 = 0
        return read(descriptor, &count, MemoryLayout<UInt64>.size) == MemoryLayout<UInt64>.size
    }

    /// Waits for a wake, without taking it.
    package func wait(timeout: Duration?) -> Bool {
        WakePipe.wait(timeout: timeout, descriptors: [descriptor])[0]
    }

    /// A signal ends the wait early with nothing ready.
    static func wait(timeout: Duration?, descriptors: [Int32]) -> [Bool] {
        var items = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let status = poll(&items, nfds_t(items.count), timeout?.pollMilliseconds ?? -1)
        precondition(status >= 0 || errno == EINTR, "WakePipe: poll failed with errno \(errno)")
        return items.map { status > 0 && $0.revents != 0 }
    }
}
