// How does a snapshot come to be from the one before and a difference?

import CKernels
import Foundation
import Rollouts
import Synchronization

extension WeightsDifference {
    /// Makes the target from its parent, which must be in the store, and stores it there once its hash is proved. The
    /// store is as it was when this throws.
    /// - Parameter durable: whether it must survive a loss of power.
    package func apply(
        in store: BlobStore, durable: Bool, parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) {
        if store.contains(target) { return }
        guard store.contains(parent) else {
            throw wrong("parent", found: "no such blob in \(store.directory)", expected: "\(parent.digest)")
        }
        let file = try SafetensorsFile(store.path(for: parent))
        let pieces = WeightsPiece.all(of: file, bytes: pieceBytes)
        guard pieces.count == blocks.count else {
            throw wrong("pieces", found: "\(blocks.count)", expected: "\(pieces.count), as the parent has")
        }
        let output = try TemporaryFile(in: store.directory, expectedBytes: target.byteCount)
        try output.write(file.bytes(from: 0, to: file.tensors.first?.offset ?? parent.byteCount))
        let place = output.place
        let failure = Mutex<(index: Int, error: WeightsError)?>(nil)
        parallel(pieces.count) { index in
            do throws(WeightsError) {
                try make(index, pieces[index], from: file, at: place)
            } catch {
                // The same one whoever was first.
                failure.withLock { if $0.map({ index < $0.index }) ?? true { $0 = (index, error) } }
            }
        }
        if let error = failure.withLock({ $0?.error }) { throw error }
        try target.check(TreeHash.hash(file: output.path), file: store.path(for: target))
        try output.commit(as: "\(target.digest)", durable: durable)
    }

    private func make(
        _ index: Int, _ piece: WeightsPiece, from parent: SafetensorsFile, at place: TemporaryFile.Place
    ) throws(WeightsError) {
        let old = parent.bytes(from: piece.range.lowerBound, to: piece.range.upperBound)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: old.count, alignment: 64)
        defer { room.deallocate() }
        let new = try content(of: index, isCoded: piece.isCoded, before: old, room: room)
        try place.write(new, at: piece.range.lowerBound)
    }

    /// A piece of the target.
    /// - Parameters:
    ///   - isCoded: whether it is of a bfloat16 tensor.
    ///   - before: the parent's.
    ///   - room: of the same size; the result may lie there, or in the difference, or be the parent's.
    package func content(
        of index: Int, isCoded: Bool, before: UnsafeRawBufferPointer, room: UnsafeMutableRawBufferPointer
    ) throws(WeightsError) -> UnsafeRawBufferPointer {
        let block = bytes(of: index)
        switch blocks[index].kind {
        case .same:
            guard block.isEmpty else {
                throw wrong("piece \(index)", found: "\(block.count) bytes of a piece without change", expected: "none")
            }
            return before
        case .whole:
            guard block.count == before.count else {
                throw wrong("piece \(index)", found: "\(block.count) bytes", expected: "\(before.count)")
            }
            return block
        case .coded:
            guard isCoded, block.count > 4, let code = block.baseAddress, let numbers = room.baseAddress else {
                throw wrong("piece \(index)", found: "a code", expected: "whole bytes, or a code of bfloat16 numbers")
            }
            room.copyMemory(from: before)
            let changed = UInt32(littleEndian: block.loadUnaligned(as: UInt32.self))
            let fault = difference_apply_bf16(
                code.advanced(by: 4).assumingMemoryBound(to: UInt8.self), block.count - 4, Int(changed),
                numbers.assumingMemoryBound(to: UInt8.self), before.count / 2)
            guard fault == DIFFERENCE_SOUND else {
                throw wrong("piece \(index)", found: Self.words(for: fault), expected: "\(changed) changes")
            }
            return UnsafeRawBufferPointer(room)
        }
    }

    private static func words(for fault: difference_fault) -> String {
        switch fault {
        case DIFFERENCE_SHORT: "a code that ends early"
        case DIFFERENCE_LONG: "a code that goes on after them"
        case DIFFERENCE_OUTSIDE: "a number beyond the piece's end"
        default: "a change that no number can have"
        }
    }
}
