// A thread that opens something, says whether it could, and then serves until it is told to stop.

import Synchronization

/// For sockets, which are made, used and closed on one thread: whoever starts it learns at once what came of opening.
final class ServingThread<Opened: Sendable>: Sendable {
    /// What the thread sees of its starter.
    final class Session: Sendable {
        /// Written to by `stop`; to be waited on together with what is served.
        let wake: WakePipe
        fileprivate let outcome = Mutex<Result<Opened, TransportError>?>(nil)
        fileprivate let stopping = Atomic(false)
        fileprivate let isOpen: WakePipe

        fileprivate init() throws(TransportError) {
            wake = try WakePipe()
            isOpen = try WakePipe()
        }

        var isStopping: Bool { stopping.load(ordering: .acquiring) }

        /// To be called once, before serving.
        func opened(_ value: Opened) { report(.success(value)) }

        fileprivate func report(_ result: Result<Opened, TransportError>) {
            outcome.withLock { $0 = result }
            isOpen.wake()
        }
    }

    let opened: Opened
    private let thread: NamedThread
    private let session: Session

    /// Serving when it returns.
    /// - Parameter body: opens, calls `opened`, and returns soon after `isStopping`. What it throws before `opened` is
    ///   thrown here; it must not throw after.
    init(
        _ name: String, _ body: @escaping @Sendable (Session) throws(TransportError) -> Void
    ) throws(TransportError) {
        let session = try Session()
        thread = try NamedThread(name) {
            do throws(TransportError) {
                try body(session)
            } catch {
                session.report(.failure(error))
            }
        }
        self.session = session
        while !session.isOpen.wait(timeout: nil) {}
        guard let result = session.outcome.withLock({ $0 }) else {
            preconditionFailure("ServingThread \(name): it reported nothing")
        }
        if case .failure(let error) = result {
            thread.join()
            throw error
        }
        opened = try result.get()
    }

    deinit { stop() }

    /// Ends the thread. Safe to call twice.
    func stop() {
        session.stopping.store(true, ordering: .releasing)
        session.wake.wake()
        thread.join()
    }
}
