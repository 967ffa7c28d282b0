// Where strangers with a token knock: a socket of its own that any key may reach, and on which little can be said.

import Rollouts

/// Its own thread (`rookery-join`). A request is one small frame and gets one small answer; what is not a request gets
/// none.
package final class JoinServer: Sendable {
    /// Requests answered in a row, and per second after that; the others are dropped, and their workers ask again.
    package static let burst = 64
    package static let perSecond = 32

    /// As bound: with the ports that were taken.
    package var addresses: [Address] { thread.opened }
    private let thread: ServingThread<[Address]>

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
        thread = try ServingThread("rookery-join") { session throws(TransportError) in
            // Made, used and closed on this thread.
            let server = try ControlServer(context, listen: [], curve: curve, limits: JoinServer.limits)
            session.opened(server.addresses)
            JoinServer.serve(server, session, decide, report)
        }
    }

    /// Ends the thread and closes the socket. Safe to call twice.
    package func stop() { thread.stop() }

    static var limits: ControlServer.Limits {
        var limits = ControlServer.Limits()
        limits.frameBytes = JoinFrame.mostBytes
        limits.queuedFrames = 4
        limits.handshake = .seconds(5)
        return limits
    }

    private static func serve(
        _ server: borrowing ControlServer, _ session: ServingThread<[Address]>.Session,
        _ decide: (JoinRequest, PublicKey) -> JoinAnswer, _ report: (String) -> Void
    ) {
        let clock = ContinuousClock()
        let origin = clock.now
        var budget = RateBudget(burst: burst, perSecond: perSecond)
        while true {
            _ = server.wait(timeout: nil, wake: session.wake)
            while !session.isStopping, let arrival = server.receive() {
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
            if session.isStopping { return }
        }
    }
}
