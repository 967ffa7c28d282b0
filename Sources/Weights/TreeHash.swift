// What is the hash that names a piece of data, however large, at the speed of memory?

import CChecksum
import Foundation
import Rollouts

/// BLAKE2b-256 over the number of bytes (64 bits, little endian) and the BLAKE2b-256 of each 64 KiB of them, the last
/// of what is left. The inner hashes do not depend on each other, so eight of them share vector registers, and
/// threads share them.
///
/// An object is fed piece by piece, by one thread at a time.
final class TreeHash {
    /// Bytes of one inner hash.
    static let leafBytes = 1 << 16
    static let digestBytes = 32
    /// Leaves that are hashed together.
    private static let gatheredLeaves = 64
    /// Of one part of the work of several threads.
    private static let partLeaves = 32

    private var byteCount = 0
    private var leaves: [UInt8] = []
    private let gathered = UnsafeMutableRawBufferPointer.allocate(
        byteCount: TreeHash.gatheredLeaves * TreeHash.leafBytes, alignment: 64)
    private var gatheredBytes = 0

    deinit { gathered.deallocate() }

    func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount += bytes.count
        var rest = bytes[...]
        while !rest.isEmpty {
            if gatheredBytes == 0, rest.count >= gathered.count {
                let whole = rest.count / gathered.count * gathered.count
                append(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)))
                rest = rest.dropFirst(whole)
                continue
            }
            let part = rest.prefix(gathered.count - gatheredBytes)
            UnsafeMutableRawBufferPointer(rebasing: gathered[gatheredBytes...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
            gatheredBytes += part.count
            rest = rest.dropFirst(part.count)
            if gatheredBytes == gathered.count { flush() }
        }
    }

    func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Ends the hash; nothing may be added after.
    func finish() -> Digest {
        flush()
        return TreeHash.combine(byteCount, leaves[...])
    }

    private func flush() {
        append(UnsafeRawBufferPointer(rebasing: gathered[..<gatheredBytes]))
        gatheredBytes = 0
    }

    /// - Parameter bytes: whole leaves, unless they are the last.
    private func append(_ bytes: UnsafeRawBufferPointer) {
        leaves += TreeHash.leafDigests([bytes]) { count, body in for index in 0..<count { body(index) } }
    }

    // MARK: bytes at hand

    static func hash(
        _ bytes: UnsafeRawBufferPointer, parallel: ParallelLoop = WeightsHash.concurrently
    ) -> Digest {
        hash([bytes], parallel: parallel)[0]
    }

    /// Of several pieces of data, each by itself.
    /// - Parameter hashed: is told of bytes that have been read, on the thread that read them.
    static func hash(
        _ pieces: [UnsafeRawBufferPointer], parallel: ParallelLoop,
        hashed: @escaping @Sendable (UnsafeRawBufferPointer) -> Void = { _ in }
    ) -> [Digest] {
        combine(pieces.map(\.count), leafDigests(pieces, parallel: parallel, hashed: hashed))
    }

    /// Of several pieces of data, from the digests of all their leaves in order.
    static func combine(_ byteCounts: [Int], _ digests: [UInt8]) -> [Digest] {
        var start = 0
        return byteCounts.map { count in
            let end = start + leafCount(count) * digestBytes
            defer { start = end }
            return combine(count, digests[start..<end])
        }
    }

    static func hash(_ bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { hash($0) } }

    /// Hash and size of a whole file, read in pieces: a file that shrinks meanwhile is an error, not a trap.
    static func hash(file path: String) throws(WeightsError) -> BlobReference {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", file: path, code: errno) }
        defer { close(descriptor) }
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 8 << 20, alignment: 64)
        defer { room.deallocate() }
        var byteCount = 0
        var leaves: [UInt8] = []
        while true {
            // Filled before it is hashed: only the last leaf of all may be short.
            var filled = 0
            while filled < room.count {
                let count = Foundation.read(descriptor, room.baseAddress! + filled, room.count - filled)
                if count < 0 && errno == EINTR { continue }
                guard count >= 0 else { throw .system("read", file: path, code: errno) }
                if count == 0 { break }
                filled += count
            }
            byteCount += filled
            leaves += leafDigests(
                [UnsafeRawBufferPointer(rebasing: room[..<filled])], parallel: WeightsHash.concurrently)
            if filled < room.count {
                return BlobReference(digest: combine(byteCount, leaves[...]), byteCount: byteCount)
            }
        }
    }

    static func leafCount(_ byteCount: Int) -> Int { (byteCount + leafBytes - 1) / leafBytes }

    /// One inner hash to be made.
    struct Leaf {
        /// `leafBytes`, or the rest of its data.
        let bytes: UnsafeRawBufferPointer
        /// `digestBytes` that it goes to.
        let digest: UnsafeMutablePointer<UInt8>

        /// The leaves of data from its start or from where a leaf begins, their digests back to back.
        static func all(
            of bytes: UnsafeRawBufferPointer, into digests: UnsafeMutablePointer<UInt8>
        ) -> [Leaf] {
            (0..<leafCount(bytes.count)).map { index in
                let range = index * leafBytes..<min((index + 1) * leafBytes, bytes.count)
                return Leaf(
                    bytes: UnsafeRawBufferPointer(rebasing: bytes[range]), digest: digests + index * digestBytes)
            }
        }
    }

    /// Digests of leaves, of one piece of data or several: eight whole ones take the time of one.
    static func digest(_ leaves: some Sequence<Leaf>) {
        var pieces: [UnsafePointer<UInt8>?] = []
        var digests: [UnsafeMutablePointer<UInt8>?] = []
        for leaf in leaves {
            var piece: UnsafePointer<UInt8>? = leaf.bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
            var digest: UnsafeMutablePointer<UInt8>? = leaf.digest
            if leaf.bytes.count == leafBytes {
                pieces.append(piece)
                digests.append(digest)
            } else {
                blake2b_256_equal(&digest, &piece, 1, leaf.bytes.count)
            }
        }
        blake2b_256_equal(&digests, &pieces, pieces.count, leafBytes)
    }

    /// Adjoining leaves as one range of bytes each.
    private static func runs(_ leaves: ArraySlice<Leaf>) -> [UnsafeRawBufferPointer] {
        var runs: [UnsafeRawBufferPointer] = []
        for leaf in leaves {
            if let last = runs.last, let start = last.baseAddress, start + last.count == leaf.bytes.baseAddress {
                runs[runs.count - 1] = UnsafeRawBufferPointer(start: start, count: last.count + leaf.bytes.count)
            } else {
                runs.append(leaf.bytes)
            }
        }
        return runs
    }

    /// The digests of all leaves of all pieces, in order.
    private static func leafDigests(
        _ pieces: [UnsafeRawBufferPointer], parallel: ParallelLoop,
        hashed: @escaping @Sendable (UnsafeRawBufferPointer) -> Void = { _ in }
    ) -> [UInt8] {
        let total = pieces.reduce(0) { $0 + leafCount($1.count) }
        return [UInt8](unsafeUninitializedCapacity: max(total, 1) * digestBytes) { digests, initialized in
            var all: [Leaf] = []
            for piece in pieces { all += Leaf.all(of: piece, into: digests.baseAddress! + all.count * digestBytes) }
            // Guard: each part writes its own digests of bytes that nobody writes; the loop ends before they do.
            nonisolated(unsafe) let leaves = all
            parallel((total + partLeaves - 1) / partLeaves) { index in
                let part = leaves[index * partLeaves..<min((index + 1) * partLeaves, leaves.count)]
                digest(part)
                for run in runs(part) { hashed(run) }
            }
            initialized = total * digestBytes
        }
    }

    private static func combine(_ byteCount: Int, _ leaves: ArraySlice<UInt8>) -> Digest {
        let hash = Blake2b()
        var length: [UInt8] = []
        length.append(littleEndian: UInt64(byteCount))
        hash.update(length)
        leaves.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }
}
