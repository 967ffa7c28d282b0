// How does a difference come to be from two snapshots?

import CKernels
import Foundation
import Rollouts
import Synchronization

extension WeightsDifference {
    /// Compares two snapshots of a store and stores what differs.
    /// - Parameters:
    ///   - destination: where the difference is stored; it is not synced to disk: it can be made again.
    ///   - limitBytes: nothing is stored above this; nil: above half of the whole, for which it is not worth while.
    /// - Returns: nil where it would be larger, or the two are no versions of one another: other tensors, or no
    ///   bfloat16.
    package static func make(
        from parent: BlobReference, to target: BlobReference, in store: BlobStore, into destination: BlobStore,
        limitBytes: Int? = nil, parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) -> BlobReference? {
        let limitBytes = limitBytes ?? target.byteCount / 2
        guard parent.byteCount == target.byteCount, limitBytes > headerBytes else { return nil }
        let before = try MappedFile(store.path(for: parent))
        let after = try MappedFile(store.path(for: target))
        guard before.bytes.count == parent.byteCount, after.bytes.count == target.byteCount,
            let file = try alike(before, after)
        else { return nil }
        let pieces = WeightsPiece.all(of: file, bytes: pieceBytes)
        guard pieces.contains(where: \.isCoded) else { return nil }
        let blocks = Mutex([(kind: Kind, bytes: [UInt8])](repeating: (.same, []), count: pieces.count))
        let total = Atomic(headerBytes + 4 * pieces.count)
        parallel(pieces.count) { index in
            // Too much already: the rest need not be looked at.
            guard total.load(ordering: .relaxed) <= limitBytes else { return }
            let block = block(pieces[index], before, after)
            guard block.kind != .same else { return }
            total.add(block.bytes.count, ordering: .relaxed)
            blocks.withLock { $0[index] = block }
        }
        let size = total.load(ordering: .relaxed)
        guard size <= limitBytes else { return nil }
        return try destination.insert(
            assemble(from: parent, to: target, blocks.withLock { $0 }, size: size), durable: false)
    }

    /// nil where one of the headers is no snapshot's or they are not the same.
    private static func alike(_ before: MappedFile, _ after: MappedFile) throws(WeightsError) -> SafetensorsFile? {
        let file = try SafetensorsFile(before)
        guard let start = file.tensors.first?.offset else { return nil }
        return before.bytes[..<start].elementsEqual(after.bytes[..<start]) ? file : nil
    }

    private static func block(
        _ piece: WeightsPiece, _ before: MappedFile, _ after: MappedFile
    ) -> (kind: Kind, bytes: [UInt8]) {
        let (old, new) = (before.bytes[piece.range], after.bytes[piece.range])
        let (oldPart, newPart) = (UnsafeRawBufferPointer(rebasing: old), UnsafeRawBufferPointer(rebasing: new))
        guard let oldStart = oldPart.baseAddress, let newStart = newPart.baseAddress,
            memcmp(oldStart, newStart, piece.range.count) != 0
        else { return (.same, []) }
        let whole = { (Kind.whole, [UInt8](newPart)) }
        guard piece.isCoded else { return whole() }
        let (oldNumbers, newNumbers) = (
            oldStart.assumingMemoryBound(to: UInt8.self), newStart.assumingMemoryBound(to: UInt8.self)
        )
        let numbers = piece.range.count / 2
        let changed = difference_count_bf16(oldNumbers, newNumbers, numbers)
        let room = piece.range.count - 4
        let code = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, room))
        defer { code.deallocate() }
        let size = difference_encode_bf16(oldNumbers, newNumbers, numbers, changed, code, max(0, room))
        guard size > 0 else { return whole() }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 + size)
        bytes.append(littleEndian: UInt32(changed))
        bytes.append(contentsOf: UnsafeBufferPointer(start: code, count: size))
        return (.coded, bytes)
    }

    private static func assemble(
        from parent: BlobReference, to target: BlobReference, _ blocks: [(kind: Kind, bytes: [UInt8])], size: Int
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size)
        bytes += magic
        bytes.append(littleEndian: version)
        bytes.append(littleEndian: UInt16(0))
        for reference in [parent, target] {
            bytes += reference.digest.bytes
            bytes.append(littleEndian: UInt64(reference.byteCount))
        }
        bytes.append(littleEndian: UInt32(pieceBytes))
        bytes.append(littleEndian: UInt32(blocks.count))
        for block in blocks { bytes.append(littleEndian: block.kind.rawValue << 30 | UInt32(block.bytes.count)) }
        for block in blocks { bytes += block.bytes }
        return bytes
    }
}
