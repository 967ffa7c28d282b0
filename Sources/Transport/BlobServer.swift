// Serves blobs to workers and takes them from the learner: its own socket and thread, so that no weight delays control.

import Rollouts
import Synchronization

package final class BlobServer: Sendable {
    /// As bound: with the ports that were taken.
    package let addresses: [Address]
    private let thread: NamedThread
    private let wake: WakePipe
    private let stopping: Stop

    private final class Stop: Sendable {
        let requested = Atomic(false)
    }

    /// What the thread hands back once: the bound addresses, or why there are none.
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
    ///   - curve: where it listens with encryption; see `ControlServer`.
    ///   - uploaders: the only keys that may hand in blobs; connections without a key always may. nil: everybody may.
    ///   - blobLimitBytes: larger uploads are refused.
    ///   - report: called on the server's thread.
    package init(
        _ context: Context, listen: [Address], curve: CurveListener? = nil, storage: any BlobStorage,
        uploaders: AllowList? = nil, blobLimitBytes: Int = 1 << 38,
        report: @escaping @Sendable (BlobServerEvent) -> Void = { _ in }
    ) throws(TransportError) {
        let wake = try WakePipe()
        let stop = Stop()
        let start = try Start()
        let thread = try NamedThread("rookery-blobs") {
            do throws(TransportError) {
                // Made, used and closed on this thread.
                let server = try ControlServer(context, listen: listen, curve: curve, limits: BlobServer.limits)
                start.report(.success(server.addresses))
                BlobServer.serve(server, storage, uploaders, blobLimitBytes, wake, stop, report)
            } catch {
                start.report(.failure(error))
            }
        }
        while !start.done.wait(timeout: nil) {}
        let result = start.result.withLock { $0 }
        guard let result else { preconditionFailure("BlobServer: the thread reported nothing") }
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

    /// Ends the thread and closes the socket; answers on their way are dropped. Safe to call twice.
    package func stop() {
        stopping.requested.store(true, ordering: .releasing)
        wake.wake()
        thread.join()
    }

    private static var limits: ControlServer.Limits {
        var limits = ControlServer.Limits()
        limits.frameBytes = BlobFrame.frameBytes
        // A client has four requests under way; one that sends without reading holds at most this many chunks.
        limits.queuedFrames = 16
        limits.linger = .zero
        return limits
    }

    private static func serve(
        _ server: borrowing ControlServer, _ storage: any BlobStorage, _ uploaders: AllowList?,
        _ blobLimitBytes: Int, _ wake: WakePipe, _ stop: Stop, _ report: (BlobServerEvent) -> Void
    ) {
        var responder = BlobResponder(storage: storage, blobLimitBytes: blobLimitBytes)
        while true {
            _ = server.wait(timeout: nil, wake: wake)
            while !stop.requested.load(ordering: .acquiring), let arrival = server.receive() {
                switch arrival {
                case .malformed(let peer): report(.malformed(peer, reason: "not one frame"))
                case .frame(let frame, let peer, let key):
                    let mayUpload = key.flatMap { key in uploaders.map { $0.contains(key) } } ?? true
                    let (reply, event) = responder.answer(frame, from: peer, mayUpload: mayUpload)
                    if let event { report(event) }
                    // An answer that finds no room or no peer is lost; the client asks again.
                    if let reply { _ = server.send(reply, to: peer) }
                }
            }
            if stop.requested.load(ordering: .acquiring) { return }
        }
    }
}
