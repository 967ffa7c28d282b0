// The bytes of blob transfer: one frame is a header of 72 bytes and a payload.

import CChecksum
import Rollouts

/// Little-endian:
///
///      0  magic "RBLB" (4)     4  version (2)     6  kind (1)     7  refusal code (1)
///      8  request (8)         16  digest (32)    48  blob's bytes (8)
///     56  offset (8)          64  length (4)     68  CRC32C (4) of bytes 0..<68 and the payload
///
/// `length` counts the payload, and in a GET, which has none, the bytes wanted.
package struct BlobFrame: Equatable {
    package enum Kind: UInt8, Sendable {
        /// Client: send `length` bytes from `offset`.
        case get = 1
        /// Server: those bytes.
        case data = 2
        /// Server: not stored here.
        case missing = 3
        /// Client: these bytes belong at `offset`. Without bytes: where shall I go on?
        case put = 4
        /// Server: go on at `offset`; at the blob's end it is stored and verified.
        case accepted = 5
        /// Server: no; the payload is the reason as text.
        case refused = 6
        /// Client: how large is it?
        case stat = 7
        /// Server: so many bytes.
        case size = 8
        /// Client: I have the blob whose digest is the payload; is there less than the whole that makes this one of it?
        case compare = 9
        /// Server: this does: the payload is its digest, the blob's bytes are its own.
        case differs = 10
        /// Server: that is being worked on; ask again.
        case later = 11
        /// Client: make the blob that this difference leads to, and answer ACCEPTED with its bytes when it is stored.
        case build = 12
        /// Client: from whom may I fetch this blob? The payload is the address of one that was named and did not do.
        case locate = 13
        /// Server: from here, or from the peer in the payload (`BlobPeer.bytes`).
        case source = 14
        /// Client: I serve these blobs at this address (`RelayAnnouncement`).
        case serve = 15
        /// Server: keys that may connect there, one after another.
        case peers = 16
    }
    package enum Refusal: UInt8, Sendable {
        case none = 0
        /// Asking again will not help.
        case request = 1
        /// The whole did not have its digest: start over.
        case corrupt = 2
        /// Storage failed: perhaps later.
        case storage = 3
    }

    static let headerBytes = 72
    static let chunkBytes = 1 << 20
    static let frameBytes = headerBytes + chunkBytes
    private static let magic: UInt32 = 0x424C_4252
    private static let version: UInt16 = 1
    private static let checksumOffset = 68

    var kind: Kind
    var refusal = Refusal.none
    /// Chosen by the client, copied into the answer.
    var request: UInt64 = 0
    var digest: Digest
    var totalBytes = 0
    var offset = 0
    var length = 0
    var payload: [UInt8] = []

    init(_ kind: Kind, _ digest: Digest, totalBytes: Int = 0, offset: Int = 0, wanted: Int) {
        self.kind = kind
        self.digest = digest
        self.totalBytes = totalBytes
        self.offset = offset
        length = wanted
    }

    init(_ kind: Kind, _ digest: Digest, totalBytes: Int = 0, offset: Int = 0, payload: [UInt8] = []) {
        self.init(kind, digest, totalBytes: totalBytes, offset: offset, wanted: payload.count)
        self.payload = payload
    }

    package func encoded() -> [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(BlobFrame.headerBytes + payload.count)
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { frame.append(contentsOf: $0) }
        }
        append(BlobFrame.magic)
        append(BlobFrame.version)
        frame.append(kind.rawValue)
        frame.append(refusal.rawValue)
        append(request)
        frame.append(contentsOf: digest.bytes)
        append(UInt64(totalBytes))
        append(UInt64(offset))
        append(UInt32(length))
        var checksum = rookery_crc32c(0, frame, frame.count)
        checksum = rookery_crc32c(checksum, payload, payload.count)
        append(checksum)
        frame.append(contentsOf: payload)
        return frame
    }

    package init(decoding frame: [UInt8]) throws(TransportError) {
        func wrong(_ reason: String) -> TransportError {
            TransportError(.corrupt, "read", "a blob frame", reason: reason)
        }
        guard frame.count >= BlobFrame.headerBytes else { throw wrong("\(frame.count) bytes, shorter than its header") }
        guard frame.count <= BlobFrame.frameBytes else { throw wrong("\(frame.count) bytes, more than a chunk") }
        func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: T.Type) -> T {
            frame.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
        }
        guard load(0, UInt32.self) == BlobFrame.magic else { throw wrong("not a blob frame") }
        let version = load(4, UInt16.self)
        guard version == BlobFrame.version else { throw wrong("version \(version), this release speaks 1") }
        let checksum = frame.withUnsafeBytes { bytes in
            rookery_crc32c(
                rookery_crc32c(0, bytes.baseAddress, BlobFrame.checksumOffset),
                bytes.baseAddress! + BlobFrame.headerBytes, bytes.count - BlobFrame.headerBytes)
        }
        guard checksum == load(BlobFrame.checksumOffset, UInt32.self) else { throw wrong("wrong checksum") }
        guard let kind = Kind(rawValue: frame[6]), let refusal = Refusal(rawValue: frame[7]) else {
            throw wrong("kind \(frame[6]) with refusal code \(frame[7])")
        }
        guard let totalBytes = Int(exactly: load(48, UInt64.self)), let offset = Int(exactly: load(56, UInt64.self)),
            offset <= totalBytes, let digest = Digest(bytes: Array(frame[16..<48]))
        else { throw wrong("offset \(load(56, UInt64.self)) of a blob of \(load(48, UInt64.self)) bytes") }
        let length = Int(load(64, UInt32.self))
        guard kind == .get ? frame.count == BlobFrame.headerBytes : frame.count == BlobFrame.headerBytes + length else {
            throw wrong("length \(length), \(frame.count - BlobFrame.headerBytes) bytes arrived")
        }
        self.kind = kind
        self.refusal = refusal
        request = load(8, UInt64.self)
        self.digest = digest
        self.totalBytes = totalBytes
        self.offset = offset
        self.length = length
        payload = Array(frame[BlobFrame.headerBytes...])
    }
}
