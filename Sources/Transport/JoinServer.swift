// Where strangers with a token knock: a socket of its own that any key may reach, and on which little can be said.

import Rollouts
import Synchronization

/// Its own thread (`rookery-join`). A request is one small frame and gets one small answer; what is not a request gets
/// none.
package final class JoinServer: Sendable {
    /// Requests answered in a row, and per second after that; the others are dropped, and their workers ask again.
    package static let burst = 64
    package static let perSecond = 32

    /// As bound: with the ports that were taken.
    package let addresses: [Address]
    private let thread: NamedThread
    private let wake: WakePipe
    private let stopping: Flag

    private final class Flag: Sendable { let isSet = Atomic(false) }
    private final class Start: Sendable {
        let done: WakePipe
        let result = Mutex<Result<[Address], TransportError>?>(nil)
        init() throws(TransportError) { done = try WakePipe() }
        func report(_ outcome: Result<[Address], TransportError>) {
            result.withLock { $0 = outcome }
            done.wake()
        }
    }

    /// Listens when it returns.
    /// - Parameters:
    ///   - curve: without an allow-list: any key may ask.
    ///   - decide: called on the server's thread, for a request and the key that its connection proved.
    ///   - report: what was dropped, in words; called on the server's thread.
    package init(
        _ context: Context, curve: CurveListener,
        decide: @escaping @Sendable (JoinRequest, PublicKey) -> JoinAnswer,
        report: @escaping @Sendable (String) -> Void
    ) throws(TransportError) {
        precondition(curve.allowed == nil, "JoinServer: a list of who may ask to be on the list")
        let wake = try WakePipe()
        let stop = Flag()
        let start = try Start()
        let thread = try NamedThread("rookery-join") {
            do throws(TransportError) {
                // Made, used and closed on this thread.
                let server = try ControlServer(context, listen: [], curve: curve, limits: JoinServer.limits)
                start.report(.success(server.addresses))
                JoinServer.serve(server, wake, stop, decide, report)
            } catch {
                start.report(.failure(error))
            }
        }
        while !start.done.wait(timeout: nil) {}
        guard let result = start.result.withLock({ $0 }) else { preconditionFailure("JoinServer: no report") }
        if case .failure(let error) = result {
            thread.join()
            throw error
        }
        addresses = try result.get()
        self.thread = thread
        self.wake = wake
        stopping = stop
    }

    deinit { stop() }

    /// Ends the thread and closes the socket. Safe to call twice.
    package func stop() {
        stopping.isSet.store(true, ordering: .releasing)
        wake.wake()
        thread.join()
    }

    static var limits: ControlServer.Limits {
        var limits = ControlServer.Limits()
        limits.frameBytes = JoinFrame.mostBytes
        limits.queuedFrames = 4
        limits.handshake = .seconds(5)
        return limits
    }

    private static func serve(
        _ server: borrowing ControlServer, _ wake: WakePipe, _ stop: Flag,
        _ decide: (JoinRequest, PublicKey) -> JoinAnswer, _ report: (String) -> Void
    ) {
        let clock = ContinuousClock()
        let origin = clock.now
        var budget = RateBudget(burst: burst, perSecond: perSecond)
        while true {
            _ = server.wait(timeout: nil, wake: wake)
            while !stop.isSet.load(ordering: .acquiring), let arrival = server.receive() {
                guard case .frame(let frame, let peer, let key?) = arrival else {
                    report("a message to the join socket was dropped: it is not one frame")
                    continue
                }
                guard budget.take(at: .zero + (clock.now - origin)) else {
                    report("requests to join come faster than \(perSecond) a second; some were dropped")
                    continue
                }
                do throws(TransportError) {
                    let request = try JoinFrame.decodeRequest(frame)
                    _ = server.send(JoinFrame.encode(decide(request, key)), to: peer)
                } catch where error.kind == .refused {
                    _ = server.send(JoinFrame.encode(.refused(reason: error.reason, mayRetry: false)), to: peer)
                    report("a request to join was refused: \(error.reason)")
                } catch {
                    report("a message to the join socket was dropped: \(error.reason)")
                }
            }
            if stop.isSet.load(ordering: .acquiring) { return }
        }
    }
}
