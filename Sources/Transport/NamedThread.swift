// A thread with a name, which is waited for.

import CZeroMQ
import Glibc
import Synchronization

package final class NamedThread: Sendable {
    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    private let thread: pthread_t
    private let joined = Mutex(false)

    /// Runs at once.
    /// - Parameter name: what `top -H` and a debugger show; the system keeps 15 bytes.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(TransportError) {
        let context = Unmanaged.passRetained(Body(name, body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                let body = Unmanaged<Body>.fromOpaque(context!).takeRetainedValue()
                rookery_name_thread(body.name)
                body.run()
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw .system("start", "thread \(name)", code)
        }
        self.thread = thread
    }

    /// Waits until the body has returned. Only the first call waits; not from the thread itself.
    package func join() {
        let first = joined.withLock { joined in
            defer { joined = true }
            return !joined
        }
        guard first else { return }
        let code = pthread_join(thread, nil)
        precondition(code == 0, "NamedThread: pthread_join failed with errno \(code)")
    }

    deinit {
        // Not joined and not needed any more: let the system clean up behind it.
        if joined.withLock({ !$0 }) { pthread_detach(thread) }
    }
}
