// The blob store as the transport's storage: what is fetched or handed in lands there, verified.

import Foundation
import Rollouts
import Synchronization
import Transport
import Weights

package final class StoredBlobs: BlobStorage {
    /// Uploads that may be open at once; each holds a file.
    private static let partialLimit = 16

    private let store: BlobStore
    private let durable: Bool
    private let partials = Mutex<[Partial]>([])

    /// `@unchecked Sendable`: only reached through `partials`, under its lock.
    private struct Partial: @unchecked Sendable {
        var reference: BlobReference
        var blob: PartialBlob
    }

    /// - Parameter durable: whether what arrives must survive a loss of power.
    package init(_ store: BlobStore, durable: Bool = true) {
        self.store = store
        self.durable = durable
    }

    package func size(of digest: Digest) throws(TransportError) -> Int? {
        var status = stat()
        let path = store.path(for: BlobReference(digest: digest, byteCount: 0))
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    package func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8] {
        guard let size = try size(of: digest) else { throw failure("read", digest, "it is not stored any more") }
        return try translate("read", digest) {
            try store.read(BlobReference(digest: digest, byteCount: size), offset: offset, count: count)
        }
    }

    package func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int {
        if store.contains(blob) { return blob.byteCount }
        return try translate("write", blob.digest) {
            try partials.withLock { partials in
                if let open = partials.first(where: { $0.reference == blob }) { return open.blob.receivedBytes }
                // The oldest is given up: a sender that comes back begins again.
                if partials.count >= Self.partialLimit { partials.removeFirst() }
                partials.append(Partial(reference: blob, blob: try store.beginPartial(blob, durable: durable)))
                return 0
            }
        }
    }

    package func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError) {
        try translate("write", blob.digest) {
            try partials.withLock { partials in
                guard let open = partials.first(where: { $0.reference == blob }) else {
                    throw RuntimeError("the transfer was given up; begin again")
                }
                try open.blob.append(bytes, at: offset)
            }
        }
    }

    package func finish(_ blob: BlobReference) throws(TransportError) {
        if store.contains(blob) { return }
        do {
            try partials.withLock { partials in
                guard let index = partials.firstIndex(where: { $0.reference == blob }) else {
                    throw RuntimeError("the transfer was given up; begin again")
                }
                try partials.remove(at: index).blob.finish()
            }
        } catch {
            throw TransportError(.corrupt, "store", "blob \(blob.digest)", reason: "\(error)")
        }
    }

    private func translate<Result>(
        _ operation: String, _ digest: Digest, _ body: () throws -> Result
    ) throws(TransportError) -> Result {
        do {
            return try body()
        } catch {
            throw failure(operation, digest, "\(error)")
        }
    }

    private func failure(_ operation: String, _ digest: Digest, _ reason: String) -> TransportError {
        TransportError(.storage, operation, "blob \(digest)", reason: reason)
    }
}
