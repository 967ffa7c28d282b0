// Serves blobs to workers and takes them from the learner: its own socket and thread, so that no weight delays control.

import Rollouts

package final class BlobServer: Sendable {
    /// As bound: with the ports that were taken.
    package var addresses: [Address] { thread.opened }
    private let thread: ServingThread<[Address]>

    /// Listens when it returns.
    /// - Parameters:
    ///   - curve: where it listens with encryption; see `ControlServer`.
    ///   - uploaders: the only keys that may hand in blobs; connections without a key always may. nil: everybody may.
    ///   - relaying: whether clients are told to serve each other.
    ///   - blobLimitBytes: larger uploads are refused.
    ///   - report: called on the server's thread.
    package init(
        _ context: Context, listen: [Address], curve: CurveListener? = nil, storage: any BlobStorage,
        uploaders: AllowList? = nil, relaying: Bool = false, blobLimitBytes: Int = 1 << 38,
        report: @escaping @Sendable (BlobServerEvent) -> Void = { _ in }
    ) throws(TransportError) {
        thread = try ServingThread("rookery-blobs") { session throws(TransportError) in
            // Made, used and closed on this thread.
            let server = try ControlServer(context, listen: listen, curve: curve, limits: BlobServer.limits)
            session.opened(server.addresses)
            let members = { curve?.allowed.map { Array($0.all) } ?? [] }
            let responder = BlobResponder(
                storage: storage, blobLimitBytes: blobLimitBytes, members: relaying ? members : nil)
            BlobServer.serve(server, responder, uploaders, session, report)
        }
    }

    /// Ends the thread and closes the socket; answers on their way are dropped. Safe to call twice.
    package func stop() { thread.stop() }

    private static var limits: ControlServer.Limits {
        var limits = ControlServer.Limits()
        limits.frameBytes = BlobFrame.frameBytes
        // A client has four requests under way; one that sends without reading holds at most this many chunks.
        limits.queuedFrames = 16
        limits.linger = .zero
        return limits
    }

    private static func serve(
        _ server: borrowing ControlServer, _ responder: consuming BlobResponder, _ uploaders: AllowList?,
        _ session: ServingThread<[Address]>.Session, _ report: (BlobServerEvent) -> Void
    ) {
        var responder = responder
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            _ = server.wait(timeout: nil, wake: session.wake)
            while !session.isStopping, let arrival = server.receive() {
                switch arrival {
                case .malformed(let peer): report(.malformed(peer, reason: "not one frame"))
                case .frame(let frame, let peer, let key):
                    let mayUpload = key.flatMap { key in uploaders.map { $0.contains(key) } } ?? true
                    let (reply, event) = responder.answer(
                        frame, from: peer, key: key, mayUpload: mayUpload,
                        at: MonotonicTime(nanoseconds: (clock.now - start).nanoseconds))
                    if let event { report(event) }
                    // An answer that finds no room or no peer is lost; the client asks again.
                    if let reply { _ = server.send(reply, to: peer) }
                }
            }
            if session.isStopping { return }
        }
    }
}
