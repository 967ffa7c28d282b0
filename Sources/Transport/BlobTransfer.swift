// The two ways a blob goes, as a series of requests and answers. No socket and no clock: BlobClient has those.

import Rollouts

protocol BlobTransfer {
    /// Everything was asked for, answered and stored.
    var isComplete: Bool { get }
    /// Bytes from the start that are safe on the receiving side.
    var doneBytes: Int { get }
    /// The next request, or nil while answers must come first.
    mutating func nextRequest() throws(TransportError) -> BlobFrame?
    mutating func accept(_ reply: BlobFrame, to request: BlobFrame) throws(TransportError) -> BlobTransferStep
    /// Requests under way are lost: ask for them again.
    mutating func rewind()
}

enum BlobTransferStep: Equatable {
    case progress
    /// The answer does not help; try again from what is safe.
    case again(reason: String)
}

/// Chunks in order from a server into storage.
struct BlobDownload<Storage: BlobStorage>: BlobTransfer {
    let blob: BlobReference
    let storage: Storage
    private(set) var isComplete: Bool
    private var next: Int
    private var requested: Int
    /// Chunks that came before their turn; fewer than there are requests under way.
    private var early: [BlobFrame] = []
    private var startedOver = false

    init(_ blob: BlobReference, into storage: Storage) throws(TransportError) {
        self.blob = blob
        self.storage = storage
        let size = try storage.size(of: blob.digest)
        isComplete = size != nil
        next = size == nil ? try storage.beginWrite(blob) : blob.byteCount
        requested = next
        if !isComplete, next == blob.byteCount { _ = try finish() }
    }

    var doneBytes: Int { next }

    mutating func nextRequest() -> BlobFrame? {
        let count = min(BlobFrame.chunkBytes, blob.byteCount - requested)
        guard count > 0 else { return nil }
        defer { requested += count }
        return BlobFrame(.get, blob.digest, totalBytes: blob.byteCount, offset: requested, wanted: count)
    }

    mutating func rewind() {
        requested = next
        early = []
    }

    mutating func accept(_ reply: BlobFrame, to request: BlobFrame) throws(TransportError) -> BlobTransferStep {
        switch reply.kind {
        case .missing:
            throw TransportError(.missing, "download", "blob \(blob.digest)", reason: "the server has no such blob")
        case .refused where reply.refusal == .storage: return .again(reason: reply.reason)
        case .refused:
            throw TransportError(.refused, "download", "blob \(blob.digest)", reason: reply.reason)
        case .data:
            guard reply.totalBytes == blob.byteCount else {
                throw TransportError(
                    .refused, "download", "blob \(blob.digest)",
                    reason: "expected \(blob.byteCount) bytes, the server has \(reply.totalBytes)")
            }
            guard reply.offset == request.offset, reply.payload.count == request.length else {
                return .again(reason: "other bytes than those asked for")
            }
            early.append(reply)
            return try writeInOrder()
        default: return .again(reason: "an answer to another question")
        }
    }

    private mutating func writeInOrder() throws(TransportError) -> BlobTransferStep {
        while let index = early.firstIndex(where: { $0.offset == next }) {
            let chunk = early.remove(at: index)
            try storage.write(blob, offset: next, bytes: chunk.payload)
            next += chunk.payload.count
        }
        return next == blob.byteCount ? try finish() : .progress
    }

    /// A whole that does not verify is fetched once more.
    private mutating func finish() throws(TransportError) -> BlobTransferStep {
        do throws(TransportError) {
            try storage.finish(blob)
            isComplete = true
            return .progress
        } catch {
            guard error.kind == .corrupt, !startedOver else { throw error }
            startedOver = true
            next = try storage.beginWrite(blob)
            rewind()
            return .again(reason: error.reason)
        }
    }
}

/// Chunks in order from storage to a server, from where the server says.
struct BlobUpload<Storage: BlobStorage>: BlobTransfer {
    let blob: BlobReference
    let storage: Storage
    /// The server said where to go on.
    private var placed = false
    private var asking = false
    private var acknowledged = 0
    private var sent = 0

    init(_ blob: BlobReference, from storage: Storage) throws(TransportError) {
        self.blob = blob
        self.storage = storage
        let size = try storage.size(of: blob.digest)
        guard size == blob.byteCount else {
            throw TransportError(
                .missing, "upload", "blob \(blob.digest)",
                reason: size.map { "stored here with \($0) bytes, not \(blob.byteCount)" } ?? "not stored here")
        }
    }

    var isComplete: Bool { placed && acknowledged == blob.byteCount }
    var doneBytes: Int { acknowledged }

    mutating func nextRequest() throws(TransportError) -> BlobFrame? {
        if !placed {
            guard !asking else { return nil }
            asking = true
            return BlobFrame(.put, blob.digest, totalBytes: blob.byteCount)
        }
        let count = min(BlobFrame.chunkBytes, blob.byteCount - sent)
        guard count > 0 else { return nil }
        let bytes = try storage.read(blob.digest, offset: sent, count: count)
        defer { sent += count }
        return BlobFrame(.put, blob.digest, totalBytes: blob.byteCount, offset: sent, payload: bytes)
    }

    mutating func rewind() {
        placed = false
        asking = false
    }

    mutating func accept(_ reply: BlobFrame, to request: BlobFrame) throws(TransportError) -> BlobTransferStep {
        switch reply.kind {
        case .accepted:
            guard reply.totalBytes == blob.byteCount else { return .again(reason: "an answer about another blob") }
            let before = acknowledged
            let expected = request.offset + request.payload.count
            let asked = !placed
            placed = true
            acknowledged = reply.offset
            if asked {
                sent = reply.offset
                return .progress
            }
            if reply.offset == expected { return .progress }
            // Something was lost, or another client sends the same blob.
            return reply.offset == blob.byteCount && before < reply.offset
                ? .progress : .again(reason: "the server stands at byte \(reply.offset)")
        case .refused where reply.refusal != .request: return .again(reason: reply.reason)
        case .refused: throw TransportError(.refused, "upload", "blob \(blob.digest)", reason: reply.reason)
        default: return .again(reason: "an answer to another question")
        }
    }
}

extension BlobFrame {
    /// A refusal's text.
    var reason: String { String(decoding: payload, as: UTF8.self) }
}
