// How are numbers that are all in memory written as fast as memory and disk allow?

import Dispatch
import Rollouts
import Synchronization

/// The file that `SafetensorsWriter` would make of these tensors, with the same hashes. Its parts are made by several
/// threads: encoded, and hashed as parts of the file and of their tensors, all while they are in a cache.
struct SnapshotImage {
    private static let partBytes = 32 * TreeHash.leafBytes
    /// For elements that begin before a part or end behind it.
    private static let marginBytes = 64
    /// A part, and the rest of the last leaf of a tensor that begins in it.
    private static let roomBytes = marginBytes + partBytes + TreeHash.leafBytes + marginBytes

    private let tensors: [StoredTensor]
    private let values: UnsafeBufferPointer<Float>
    private let header: [UInt8]
    private let starts: [TensorStart]
    private let leafCount: Int
    let byteCount: Int

    /// - Parameter values: of all tensors, back to back.
    init(tensors: [StoredTensor], values: UnsafeBufferPointer<Float>) {
        self.tensors = tensors
        self.values = values
        header = SafetensorsWriter.header(tensors)
        let (starts, end) = tensors.starts
        precondition(end.element == values.count, "\(values.count) numbers for \(end.element) elements")
        self.starts = starts
        leafCount = end.leaf
        byteCount = header.count + end.byte
    }

    /// - Returns: what the file is, and each tensor's hash in order.
    func write(
        to file: TemporaryFile, parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) -> (blob: BlobReference, digests: [Digest]) {
        var fileLeaves = [UInt8](repeating: 0, count: TreeHash.leafCount(byteCount) * TreeHash.digestBytes)
        var tensorLeaves = [UInt8](repeating: 0, count: leafCount * TreeHash.digestBytes)
        let writer = PartWriter(file.place, roomBytes: Self.roomBytes)
        let overflowed = Atomic(false)
        fileLeaves.withUnsafeMutableBufferPointer { fileLeaves in
            tensorLeaves.withUnsafeMutableBufferPointer { tensorLeaves in
                // Guard: each part writes digests of its own; the loop ends before the memory does.
                nonisolated(unsafe) let (image, ofFile, ofTensors) = (
                    self, fileLeaves.baseAddress!, tensorLeaves.baseAddress!
                )
                parallel((byteCount + Self.partBytes - 1) / Self.partBytes) { index in
                    writer.add(at: index * Self.partBytes) { room in
                        let part = image.part(index, in: room, fileDigests: ofFile, tensorDigests: ofTensors)
                        if !part.fits { overflowed.store(true, ordering: .relaxed) }
                        TreeHash.digest(part.leaves)
                        return part.bytes
                    }
                }
            }
        }
        if let error = writer.error { throw error }
        if overflowed.load(ordering: .relaxed) {
            // Says which tensor.
            try TensorEncoder(tensors: tensors).encode(
                file: file.path, values: TensorEncoder.backToBack(values), append: { _ in })
        }
        let blob = BlobReference(digest: TreeHash.combine([byteCount], fileLeaves)[0], byteCount: byteCount)
        return (blob, TreeHash.combine(tensors.map(\.byteCount), tensorLeaves))
    }

    private struct Part {
        var bytes: UnsafeRawBufferPointer
        /// The file's that make up the part, and the tensors' that begin in it.
        var leaves: [TreeHash.Leaf]
        /// Whether every number fits its format.
        var fits: Bool
    }

    /// - Parameters:
    ///   - fileDigests: of all leaves of the file.
    ///   - tensorDigests: of all leaves of all tensors, in order.
    private func part(
        _ index: Int, in room: UnsafeMutableRawBufferPointer, fileDigests: UnsafeMutablePointer<UInt8>,
        tensorDigests: UnsafeMutablePointer<UInt8>
    ) -> Part {
        let range = index * Self.partBytes..<min((index + 1) * Self.partBytes, byteCount)
        // Byte 0 of the file would lie here.
        let origin = room.baseAddress! + Self.marginBytes - range.lowerBound
        if range.lowerBound < header.count {
            header.withUnsafeBytes { header in
                let bytes = UnsafeRawBufferPointer(rebasing: header[range.clamped(to: 0..<header.count)])
                (origin + range.lowerBound).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
            }
        }
        let firstLeaf = range.lowerBound / TreeHash.leafBytes
        let bytes = UnsafeRawBufferPointer(start: origin + range.lowerBound, count: range.count)
        var leaves = TreeHash.Leaf.all(of: bytes, into: fileDigests + firstLeaf * TreeHash.digestBytes)
        var fits = true
        for (tensor, start) in zip(tensors, starts) {
            let firstByte = header.count + start.byte
            let own = firstByte..<firstByte + tensor.byteCount
            guard own.overlaps(range) else { continue }
            // Leaves that begin before the range, and before its end; the last of these may reach beyond it.
            let common = own.clamped(to: range)
            let first = TreeHash.leafCount(common.lowerBound - own.lowerBound)
            let last = TreeHash.leafCount(common.upperBound - own.lowerBound)
            let end = min(own.lowerBound + last * TreeHash.leafBytes, own.upperBound)
            fits = encode(tensor, start, common.lowerBound..<end, origin) && fits
            guard first < last else { continue }
            let hashed = UnsafeRawBufferPointer(
                start: origin + own.lowerBound + first * TreeHash.leafBytes,
                count: end - own.lowerBound - first * TreeHash.leafBytes)
            leaves += TreeHash.Leaf.all(
                of: hashed, into: tensorDigests + (start.leaf + first) * TreeHash.digestBytes)
        }
        return Part(bytes: bytes, leaves: leaves, fits: fits)
    }

    /// Whole elements of a tensor that hold these bytes of the file.
    /// - Returns: whether all fit their format.
    private func encode(
        _ tensor: StoredTensor, _ start: TensorStart, _ bytes: Range<Int>,
        _ origin: UnsafeMutableRawPointer
    ) -> Bool {
        let size = tensor.format.bytesPerElement
        let firstByte = header.count + start.byte
        let first = (bytes.lowerBound - firstByte) / size
        let last = (bytes.upperBound - firstByte + size - 1) / size
        let numbers = UnsafeBufferPointer(rebasing: values[start.element + first..<start.element + last])
        let out = UnsafeMutableRawBufferPointer(
            start: origin + firstByte + first * size, count: numbers.count * size)
        return tensor.format.encode(numbers, into: out) == 0
    }
}

/// Where finished parts go to be written: by one thread at a time, whichever finds nobody at it, while the others make
/// the next parts. Writing by several would make them wait for each other, as a file is changed by one at a time.
private final class PartWriter: Sendable {
    private let place: TemporaryFile.Place
    private let roomBytes: Int
    /// For each room that is free.
    private let rooms = DispatchSemaphore(value: PartWriter.roomLimit)
    private let state = Mutex(State())

    /// So much memory is enough for threads to go on while one waits for the disk.
    private static let roomLimit = 16

    /// Guard of `@unchecked Sendable`: whoever takes it out of the state owns it.
    private struct Room: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }

    /// Guard of `@unchecked Sendable`: as with its room.
    private struct Finished: @unchecked Sendable {
        let room: Room
        let bytes: UnsafeRawBufferPointer
        let offset: Int
    }

    private struct State: Sendable {
        var free: [Room] = []
        var finished: [Finished] = []
        var isWriting = false
        var error: WeightsError?
    }

    init(_ place: TemporaryFile.Place, roomBytes: Int) {
        self.place = place
        self.roomBytes = roomBytes
    }

    deinit { state.withLock { for room in $0.free { room.bytes.deallocate() } } }

    var error: WeightsError? { state.withLock { $0.error } }

    /// - Parameter make: returns the part's bytes, which lie in the room.
    func add(at offset: Int, _ make: (UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer) {
        // After an error there is no file.
        guard error == nil else { return }
        rooms.wait()
        let room = state.withLock { $0.free.popLast() }
            ?? Room(bytes: UnsafeMutableRawBufferPointer.allocate(byteCount: roomBytes, alignment: 64))
        let finished = Finished(room: room, bytes: make(room.bytes), offset: offset)
        var next = state.withLock { state -> Finished? in
            state.finished.append(finished)
            if state.isWriting { return nil }
            state.isWriting = true
            return state.finished.removeFirst()
        }
        while let part = next {
            var failure: WeightsError?
            do throws(WeightsError) { try place.write(part.bytes, at: part.offset) } catch { failure = error }
            next = state.withLock { state in
                state.error = state.error ?? failure
                state.free.append(part.room)
                state.isWriting = !state.finished.isEmpty
                return state.isWriting ? state.finished.removeFirst() : nil
            }
            rooms.signal()
        }
    }
}
