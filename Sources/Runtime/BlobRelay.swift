// How does a worker serve the blobs it has fetched to other workers?

import Cluster
import Foundation
import Rollouts
import Synchronization
import Transport
import Weights

/// What `worker join` was told about serving others.
package struct RelayPlan: Equatable, Sendable {
    /// 0: any that is free.
    package var port: UInt16
    /// Where the way to the head is loopback (a tunnel ends here), other hosts' workers cannot come: only a process
    /// that knows that all are of one host may serve there.
    package var allowsLoopback: Bool
    package init(port: UInt16 = 0, allowsLoopback: Bool = false) {
        self.port = port
        self.allowsLoopback = allowsLoopback
    }
}

/// A blob server of this worker's cache, for reading alone, encrypted where the run is, and a thread that tells the
/// head once a second, and when something has come, what is served, and learns from it whom to let in.
final class BlobRelay {
    private static let interval = Duration.seconds(1)

    private let server: BlobServer
    private let gatekeeper: Gatekeeper?
    private let served: ServedDigests
    private let thread: NamedThread

    /// - Parameters:
    ///   - head: the head's blob address.
    ///   - curve: how to connect there; the same key is the relay's own.
    /// - Returns: nil where nobody else could come.
    init?(
        _ plan: RelayPlan, store: BlobStore, head: Address, curve: CurveClient?,
        note: @escaping @Sendable (Note) -> Void
    ) throws {
        guard case .tcp(let host, let port) = head else {
            throw RuntimeError("\(head) is not TCP: nobody else comes this way")
        }
        // Only the interface that leads to the head: what others of the run can reach.
        let listen = Address.tcp(host: try LocalInterface.address(towards: host, port: port), port: plan.port)
        guard plan.allowsLoopback || !listen.isLoopback else { return nil }
        // A context of its own: a gatekeeper answers for all sockets of one.
        let context = try Context()
        let allowed = AllowList()
        gatekeeper = try curve.map { _ in try Gatekeeper(context, rules: ["relay": .listed(allowed)]) { _ in } }
        server = try BlobServer(
            context, listen: curve == nil ? [listen] : [],
            curve: curve.map {
                CurveListener(addresses: [listen], keys: $0.keys, domain: "relay", allowed: allowed)
            }, storage: RelayedBlobs(StoredBlobs(store)), uploaders: allowed)
        let served = try ServedDigests()
        self.served = served
        let address = server.addresses[0]
        thread = try NamedThread("relay") {
            do {
                var client = try BlobClient(context, connect: head, curve: curve)
                while !served.cancel.isCancelled {
                    do throws(TransportError) {
                        let keys = try client.announce(served.all, at: address, cancel: served.cancel)
                        allowed.replace(with: Set(keys))
                    } catch {
                        note(Note(.debug, "the head was not told what is served here: \(error)"))
                    }
                    served.wait(Self.interval)
                }
            } catch {
                note(Note(.warning, "blobs are not served to other workers: \(error)"))
            }
        }
        note(Note(.info, "blobs are served to other workers on \(address)"))
    }

    /// What may be fetched from here, from now on.
    func serve(_ digests: [Digest]) { served.replace(with: digests) }

    deinit {
        served.end()
        thread.join()
        server.stop()
        gatekeeper?.stop()
    }
}

/// Between the weights thread, which knows what there is, and the relay's, which says it.
private final class ServedDigests: Sendable {
    let cancel: CancelFlag
    private let wake: WakePipe
    private let digests = Mutex<[Digest]>([])

    init() throws(TransportError) {
        cancel = try CancelFlag()
        wake = try WakePipe()
    }

    var all: [Digest] { digests.withLock { $0 } }

    func replace(with new: [Digest]) {
        digests.withLock { $0 = new }
        wake.wake()
    }

    func wait(_ interval: Duration) {
        _ = wake.wait(timeout: interval)
        wake.drain()
    }

    func end() {
        cancel.cancel()
        wake.wake()
    }
}

/// A store that others may read and nobody may write.
private final class RelayedBlobs: BlobStorage {
    private let blobs: StoredBlobs
    init(_ blobs: StoredBlobs) { self.blobs = blobs }

    func size(of digest: Digest) throws(TransportError) -> Int? { try blobs.size(of: digest) }
    func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8] {
        try blobs.read(digest, offset: offset, count: count)
    }
    func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int { throw refusal(blob) }
    func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError) { throw refusal(blob) }
    func finish(_ blob: BlobReference) throws(TransportError) { throw refusal(blob) }

    private func refusal(_ blob: BlobReference) -> TransportError {
        TransportError(.refused, "write", "blob \(blob.digest)", reason: "a relay takes no blobs")
    }
}

enum LocalInterface {
    /// The numeric address of this host's interface that leads to another host; nothing is sent.
    static func address(towards host: String, port: UInt16) throws(RuntimeError) -> String {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &found)
        guard code == 0, let first = found else {
            throw RuntimeError("the host `\(host)` is not known: \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(found) }
        let descriptor = socket(first.pointee.ai_family, first.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { throw RuntimeError("no socket to look for the way to \(host): \(errnoText())") }
        defer { close(descriptor) }
        guard connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            throw RuntimeError("no way to \(host): \(errnoText())")
        }
        var own = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let status = withUnsafeMutablePointer(to: &own) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Int32 in
                guard getsockname(descriptor, address, &length) == 0 else { return -1 }
                return getnameinfo(
                    address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            }
        }
        guard status == 0 else { throw RuntimeError("this host's address towards \(host) cannot be found") }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
