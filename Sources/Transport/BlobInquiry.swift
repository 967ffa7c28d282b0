// One question to a blob server, and what its answer means.

import Rollouts

/// A request without bytes to move, answered by one frame.
struct BlobInquiry: BlobTransfer {
    let request: BlobFrame
    let answers: [BlobFrame.Kind]
    private(set) var reply: BlobFrame?
    private var asking = false

    /// - Parameter answers: the kinds that answer it; a refusal does too, by an error.
    init(_ request: BlobFrame, answeredBy answers: [BlobFrame.Kind]) {
        self.request = request
        self.answers = answers
    }

    var isComplete: Bool { reply != nil }
    var doneBytes: Int { 0 }

    mutating func nextRequest() -> BlobFrame? {
        guard !asking else { return nil }
        asking = true
        return request
    }

    mutating func rewind() { asking = false }

    mutating func accept(_ reply: BlobFrame, to request: BlobFrame) throws(TransportError) -> BlobTransferStep {
        if answers.contains(reply.kind) {
            self.reply = reply
            return .progress
        }
        guard reply.kind == .refused else { return .again(reason: "an answer to another question") }
        guard reply.refusal == .request else { return .again(reason: reply.reason) }
        throw TransportError(.refused, "ask about", "blob \(request.digest)", reason: reply.reason)
    }
}

extension BlobClient {
    /// nil when the server does not have it.
    package mutating func size(of digest: Digest, cancel: CancelFlag) throws(TransportError) -> Int? {
        let reply = try ask(BlobFrame(.stat, digest), answeredBy: [.size, .missing], cancel)
        return reply.kind == .size ? reply.totalBytes : nil
    }

    /// What the server has that makes `target` of `parent`. Waits while it is being made.
    /// - Returns: nil when only the whole will do.
    package mutating func difference(
        from parent: BlobReference, to target: BlobReference, cancel: CancelFlag
    ) throws(TransportError) -> BlobReference? {
        let reply = try ask(
            BlobFrame(.compare, target.digest, payload: parent.digest.bytes), answeredBy: [.differs, .missing], cancel)
        guard reply.kind == .differs else { return nil }
        guard let digest = Digest(bytes: reply.payload) else {
            throw TransportError(.corrupt, "compare", "blob \(target.digest)", reason: "no digest of a difference")
        }
        return BlobReference(digest: digest, byteCount: reply.totalBytes)
    }

    /// Has the server make a blob from a difference that it has. Waits until it is stored there and verified.
    /// - Returns: why it cannot; nil when it did.
    package mutating func build(
        _ target: BlobReference, from difference: BlobReference, cancel: CancelFlag
    ) throws(TransportError) -> String? {
        do throws(TransportError) {
            let reply = try ask(BlobFrame(.build, difference.digest), answeredBy: [.accepted], cancel)
            return reply.totalBytes == target.byteCount ? nil : "it leads to \(reply.totalBytes) bytes there"
        } catch {
            guard error.kind == .refused else { throw error }
            return error.reason
        }
    }

    /// From whom to fetch a blob. Waits while everybody who has it is busy.
    /// - Parameter failed: who was named before and did not do.
    /// - Returns: nil: from this server.
    package mutating func source(
        of blob: BlobReference, failed: Address?, cancel: CancelFlag
    ) throws(TransportError) -> BlobPeer? {
        let payload = failed.map { Array($0.description.utf8) } ?? []
        let reply = try ask(BlobFrame(.locate, blob.digest, payload: payload), answeredBy: [.source], cancel)
        if reply.payload.isEmpty { return nil }
        guard let peer = BlobPeer(bytes: reply.payload) else {
            throw TransportError(.corrupt, "look for", "blob \(blob.digest)", reason: "no address of a peer")
        }
        return peer
    }

    /// Says that blobs are served at an address.
    /// - Returns: the keys that may connect there.
    package mutating func announce(
        _ digests: [Digest], at address: Address, cancel: CancelFlag
    ) throws(TransportError) -> [PublicKey] {
        let announcement = RelayAnnouncement(address: address, digests: digests)
        let reply = try ask(
            BlobFrame(.serve, RelayAnnouncement.noDigest, payload: announcement.bytes), answeredBy: [.peers], cancel)
        return stride(from: 0, to: reply.payload.count, by: PublicKey.byteCount).compactMap {
            PublicKey(bytes: Array(reply.payload[$0..<min($0 + PublicKey.byteCount, reply.payload.count)]))
        }
    }

    /// Asks again, after 5, 10, … 80 ms, while the answer is that the server is at work on it.
    private mutating func ask(
        _ request: BlobFrame, answeredBy answers: [BlobFrame.Kind], _ cancel: CancelFlag
    ) throws(TransportError) -> BlobFrame {
        let subject = "blob \(request.digest) at \(address)"
        let clock = ContinuousClock()
        let deadline = clock.now + limits.work
        var pause = Duration.milliseconds(5)
        while clock.now < deadline {
            var inquiry = BlobInquiry(request, answeredBy: answers + [.later])
            try run(&inquiry, "ask about", subject, cancel) { _ in }
            if let reply = inquiry.reply, reply.kind != .later { return reply }
            _ = cancel.wake.wait(timeout: pause)
            if cancel.isCancelled { throw TransportError(.cancelled, "ask about", subject, reason: "cancelled") }
            pause = min(.milliseconds(80), pause * 2)
        }
        throw TransportError(
            .timedOut, "ask about", subject, reason: "the server was still at work after \(limits.work)")
    }
}

/// What a relay says of itself: the length of its address (2), the address, digests.
struct RelayAnnouncement: Equatable {
    /// An announcement is about no blob in particular.
    static let noDigest: Digest = {
        guard let digest = Digest(bytes: [UInt8](repeating: 0, count: 32)) else {
            preconditionFailure("a digest has 32 bytes")
        }
        return digest
    }()

    var address: Address
    var digests: [Digest]

    init(address: Address, digests: [Digest]) {
        self.address = address
        self.digests = digests
    }

    var bytes: [UInt8] {
        let text = Array(address.description.utf8.prefix(Int(UInt16.max)))
        return [UInt8(text.count & 255), UInt8(text.count >> 8)] + text + digests.flatMap(\.bytes)
    }

    /// nil where the bytes are none: TCP with a port and a host that can be connected to.
    init?(bytes: [UInt8]) {
        guard bytes.count >= 2 else { return nil }
        let length = Int(bytes[0]) | Int(bytes[1]) << 8
        let rest = bytes.count - 2 - length
        guard rest >= 0, rest % 32 == 0, rest / 32 <= BlobSources.digestLimit,
            let address = BlobPeer.address(bytes[2..<2 + length])
        else { return nil }
        self.address = address
        digests = stride(from: 2 + length, to: bytes.count, by: 32).compactMap {
            Digest(bytes: Array(bytes[$0..<$0 + 32]))
        }
    }
}

/// A key, or zeros where there is none (32), and the address.
extension BlobPeer {
    var bytes: [UInt8] {
        (key?.bytes ?? [UInt8](repeating: 0, count: PublicKey.byteCount)) + Array(address.description.utf8)
    }

    init?(bytes: [UInt8]) {
        guard bytes.count > PublicKey.byteCount, let address = Self.address(bytes[PublicKey.byteCount...])
        else { return nil }
        let key = Array(bytes[..<PublicKey.byteCount])
        self.address = address
        if key.allSatisfy({ $0 == 0 }) {
            self.key = nil
        } else {
            guard let key = PublicKey(bytes: key) else { return nil }
            self.key = key
        }
    }

    static func address(_ bytes: ArraySlice<UInt8>) -> Address? {
        guard bytes.count <= 300, let text = String(validating: bytes, as: UTF8.self) else { return nil }
        // What is no address is refused by the caller in its own words.
        guard let address = try? Address(text), case .tcp(_, let port) = address, port != 0, !address.isWildcard
        else { return nil }
        return address
    }
}
