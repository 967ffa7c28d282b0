// What the head's blob server serves and takes: the run's blobs, and the differences between them.

import Foundation
import Rollouts
import Transport
import Weights

package final class ServedBlobs: BlobStorage {
    private let blobs: StoredBlobs
    private let differences: StoredBlobs
    private let known: StoredDifferences

    package init(_ store: BlobStore, differences known: StoredDifferences) {
        blobs = StoredBlobs(store)
        differences = StoredBlobs(known.store)
        self.known = known
    }

    package func size(of digest: Digest) throws(TransportError) -> Int? {
        if let size = try blobs.size(of: digest) { return size }
        return try differences.size(of: digest)
    }

    package func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8] {
        let place = try blobs.size(of: digest) == nil ? differences : blobs
        return try place.read(digest, offset: offset, count: count)
    }

    package func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int { try blobs.beginWrite(blob) }

    package func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError) {
        try blobs.write(blob, offset: offset, bytes: bytes)
    }

    package func finish(_ blob: BlobReference) throws(TransportError) { try blobs.finish(blob) }

    package func difference(from parent: Digest, to target: Digest) throws(TransportError) -> DifferenceAnswer {
        guard let before = try blobs.size(of: parent), let after = try blobs.size(of: target) else { return .wholeOnly }
        return known.difference(
            from: BlobReference(digest: parent, byteCount: before), to: BlobReference(digest: target, byteCount: after))
    }

    package func build(from difference: Digest) throws(TransportError) -> BuildAnswer {
        known.build(from: difference, byteCount: try size(of: difference))
    }
}
