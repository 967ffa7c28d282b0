// Where blobs lie, as the transfer sees it.

import Rollouts

/// Content-addressed storage. The blob server calls it from its own thread, downloads and uploads from the caller's.
///
///     beginWrite ──▶ write … write ──▶ finish ──▶ stored (size, read)
///          ▲            │                 │
///          └── resumed ─┘                 └── wrong digest: discarded, `.corrupt`
///
/// Errors: `.storage` with a reason; `.corrupt` from `finish`.
package protocol BlobStorage: Sendable {
    /// Bytes of a stored blob; nil for one that is not stored, or not whole yet.
    func size(of digest: Digest) throws(TransportError) -> Int?
    /// Exactly `count` bytes of a stored blob; the range is inside it.
    func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8]
    /// Begins or resumes writing a blob that is not stored. May be called again at any time before `finish`.
    /// - Returns: how many bytes from the start are already there; at most `blob.byteCount`.
    func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int
    /// The next bytes: `offset` is where the last write ended.
    func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError)
    /// All bytes are there: check size and digest, make them durable, and store the blob. With a wrong digest, discard
    /// what was written and throw `.corrupt`.
    func finish(_ blob: BlobReference) throws(TransportError)

    /// What makes one stored blob of another in less bytes than it has. Never waits.
    func difference(from parent: Digest, to target: Digest) throws(TransportError) -> DifferenceAnswer
    /// Makes the blob that a stored difference leads to. Never waits.
    func build(from difference: Digest) throws(TransportError) -> BuildAnswer
}

package enum DifferenceAnswer: Equatable, Sendable {
    /// A stored blob.
    case offered(BlobReference)
    /// It is being made: ask again.
    case later
    /// There is nothing less than the whole.
    case wholeOnly
}

package enum BuildAnswer: Equatable, Sendable {
    /// Stored and verified.
    case built(BlobReference)
    /// It is being made: ask again.
    case later
    /// It cannot be made here: the whole is needed.
    case impossible(reason: String)
}

/// For storage that knows blobs as bytes only.
extension BlobStorage {
    package func difference(from parent: Digest, to target: Digest) -> DifferenceAnswer { .wholeOnly }
    package func build(from difference: Digest) -> BuildAnswer {
        .impossible(reason: "nothing is made of differences here")
    }
}
