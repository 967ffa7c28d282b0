// What the blob server answers to one frame.

import Rollouts

package enum BlobServerEvent: Equatable, Sendable {
    /// A frame that says nothing; dropped without an answer.
    case malformed(PeerIdentifier, reason: String)
    /// Answered with a refusal.
    case refused(PeerIdentifier, digest: Digest, reason: String)
    /// A blob arrived whole and is stored.
    case stored(BlobReference)
}

/// Knows no socket: a frame in, a frame out. Holds how far each unfinished upload is.
struct BlobResponder {
    private struct Upload {
        let blob: BlobReference
        /// Bytes written.
        var next: Int
    }

    /// Unfinished uploads remembered; the one longest untouched is forgotten first and begins again from storage.
    static let uploadLimit = 32

    let storage: any BlobStorage
    /// Larger blobs are refused before anything is written.
    let blobLimitBytes: Int
    /// Whose keys relays must let in; nil: relays are not asked for.
    private let members: (() -> [PublicKey])?
    private var sources = BlobSources()
    /// The latest touched is last.
    private var uploads: [Upload] = []

    init(storage: any BlobStorage, blobLimitBytes: Int, members: (() -> [PublicKey])? = nil) {
        self.storage = storage
        self.blobLimitBytes = blobLimitBytes
        self.members = members
    }

    /// - Parameter key: what the peer's connection proved; nil without encryption.
    mutating func answer(
        _ frame: [UInt8], from peer: PeerIdentifier, key: PublicKey? = nil, mayUpload: Bool = true,
        at now: MonotonicTime = .zero
    ) -> (reply: [UInt8]?, event: BlobServerEvent?) {
        let request: BlobFrame
        do throws(TransportError) {
            request = try BlobFrame(decoding: frame)
        } catch {
            return (nil, .malformed(peer, reason: error.reason))
        }
        var event: BlobServerEvent?
        var reply: BlobFrame
        do throws(TransportError) {
            switch request.kind {
            case .get:
                reply = try get(request)
                sources.sent(
                    request.digest, to: peer, isLast: request.offset + request.length == reply.totalBytes, at: now)
            case .stat: reply = try stat(request)
            case .put:
                guard mayUpload else { throw refusal(request, "only a learner may hand in blobs") }
                (reply, event) = try put(request)
            case .compare: reply = try compare(request)
            case .build:
                guard mayUpload else { throw refusal(request, "only a learner may hand in blobs") }
                (reply, event) = try build(request)
            case .locate: reply = try locate(request, peer, now)
            case .serve: reply = try serve(request, key, now)
            case .data, .missing, .accepted, .refused, .size, .differs, .later, .source, .peers:
                return (nil, .malformed(peer, reason: "a server's frame (\(request.kind)) from a client"))
            }
        } catch {
            reply = BlobFrame(.refused, request.digest, payload: Array(error.reason.utf8.prefix(1024)))
            switch error.kind {
            case .corrupt: reply.refusal = .corrupt
            case .storage, .system: reply.refusal = .storage
            default: reply.refusal = .request
            }
            event = .refused(peer, digest: request.digest, reason: error.reason)
        }
        reply.request = request.request
        return (reply.encoded(), event)
    }

    private func refusal(_ request: BlobFrame, _ reason: String) -> TransportError {
        TransportError(.refused, "answer", "blob \(request.digest)", reason: reason)
    }

    private func get(_ request: BlobFrame) throws(TransportError) -> BlobFrame {
        guard let size = try storage.size(of: request.digest) else { return BlobFrame(.missing, request.digest) }
        guard (1...BlobFrame.chunkBytes).contains(request.length), request.offset <= size - request.length else {
            throw refusal(request, "\(request.length) bytes at \(request.offset) of a blob of \(size)")
        }
        let bytes = try storage.read(request.digest, offset: request.offset, count: request.length)
        precondition(bytes.count == request.length, "BlobStorage: read \(bytes.count) bytes for \(request.length)")
        return BlobFrame(.data, request.digest, totalBytes: size, offset: request.offset, payload: bytes)
    }

    private func stat(_ request: BlobFrame) throws(TransportError) -> BlobFrame {
        guard let size = try storage.size(of: request.digest) else { return BlobFrame(.missing, request.digest) }
        return BlobFrame(.size, request.digest, totalBytes: size)
    }

    private mutating func locate(
        _ request: BlobFrame, _ peer: PeerIdentifier, _ now: MonotonicTime
    ) throws(TransportError) -> BlobFrame {
        guard members != nil else { return BlobFrame(.source, request.digest) }
        let failed = request.payload.isEmpty ? nil : BlobPeer.address(request.payload[...])
        switch sources.source(of: request.digest, for: peer, failed: failed, at: now) {
        case .here: return BlobFrame(.source, request.digest)
        case .at(let relay): return BlobFrame(.source, request.digest, payload: relay.bytes)
        case .later: return BlobFrame(.later, request.digest)
        }
    }

    private mutating func serve(
        _ request: BlobFrame, _ key: PublicKey?, _ now: MonotonicTime
    ) throws(TransportError) -> BlobFrame {
        guard let members else { throw refusal(request, "no relays are wanted here") }
        guard let announcement = RelayAnnouncement(bytes: request.payload) else {
            throw refusal(request, "an announcement of a relay with \(request.payload.count) bytes that are none")
        }
        sources.serve(BlobPeer(address: announcement.address, key: key), announcement.digests, at: now)
        let keys = members().prefix(BlobFrame.chunkBytes / PublicKey.byteCount)
        return BlobFrame(.peers, request.digest, payload: keys.flatMap(\.bytes))
    }

    private func compare(_ request: BlobFrame) throws(TransportError) -> BlobFrame {
        guard let parent = Digest(bytes: request.payload) else {
            throw refusal(request, "a comparison with \(request.payload.count) bytes for a digest")
        }
        switch try storage.difference(from: parent, to: request.digest) {
        case .offered(let blob):
            return BlobFrame(.differs, request.digest, totalBytes: blob.byteCount, payload: blob.digest.bytes)
        case .later: return BlobFrame(.later, request.digest)
        case .wholeOnly: return BlobFrame(.missing, request.digest)
        }
    }

    private func build(_ request: BlobFrame) throws(TransportError) -> (BlobFrame, BlobServerEvent?) {
        switch try storage.build(from: request.digest) {
        case .built(let blob):
            return (
                BlobFrame(.accepted, request.digest, totalBytes: blob.byteCount, offset: blob.byteCount), .stored(blob)
            )
        case .later: return (BlobFrame(.later, request.digest), nil)
        case .impossible(let reason): throw refusal(request, reason)
        }
    }

    private mutating func put(_ request: BlobFrame) throws(TransportError) -> (BlobFrame, BlobServerEvent?) {
        let blob = BlobReference(digest: request.digest, byteCount: request.totalBytes)
        func accepted(_ next: Int) -> BlobFrame {
            BlobFrame(.accepted, blob.digest, totalBytes: blob.byteCount, offset: next)
        }
        if let size = try storage.size(of: blob.digest) {
            guard size == blob.byteCount else {
                throw refusal(request, "stored with \(size) bytes, not \(blob.byteCount)")
            }
            return (accepted(size), nil)
        }
        guard blob.byteCount <= blobLimitBytes else {
            throw refusal(request, "\(blob.byteCount) bytes, more than the \(blobLimitBytes) that are taken here")
        }
        guard request.payload.count <= blob.byteCount - request.offset else {
            throw refusal(
                request, "\(request.payload.count) bytes at \(request.offset) of a blob of \(blob.byteCount)")
        }
        var upload: Upload
        if let index = uploads.firstIndex(where: { $0.blob == blob }) {
            upload = uploads.remove(at: index)
        } else {
            upload = Upload(blob: blob, next: try storage.beginWrite(blob))
        }
        // Bytes from elsewhere than the next place are not taken: the answer says where that is. After an error
        // the upload is forgotten, so that the next PUT asks storage again.
        if request.offset == upload.next, !request.payload.isEmpty {
            try storage.write(blob, offset: upload.next, bytes: request.payload)
            upload.next += request.payload.count
        }
        if upload.next == blob.byteCount {
            try storage.finish(blob)
            return (accepted(blob.byteCount), .stored(blob))
        }
        uploads.append(upload)
        if uploads.count > BlobResponder.uploadLimit { uploads.removeFirst() }
        return (accepted(upload.next), nil)
    }
}
