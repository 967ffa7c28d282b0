// What makes one version's snapshot out of another's, in few bytes and without loss?

import CKernels
import Foundation
import Rollouts
import Synchronization

/// A file that names two snapshots by their blobs and holds what differs: of bfloat16 tensors the changed numbers
/// alone, of others whole pieces. It says nothing that is not proved: what is made must have the target's hash.
///
/// Little-endian:
///
///      0  magic "RDIF" (4)            4  version, 1 (2)              6  zero (2)
///      8  parent's digest (32)       40  parent's bytes (8)
///     48  target's digest (32)       80  target's bytes (8): the parent's
///     88  bytes of a piece (4)       92  number of pieces (4)
///     96  for each piece: kind in bits 30–31, its block's bytes in bits 0–29 (4)
///         the blocks, one after another
///
/// Pieces are the parent's tensors in the order of the data, each cut at multiples of the piece's bytes. Kinds: 0 as in
/// the parent, 1 the target's bytes, 2 of a bfloat16 tensor: number of changes (4), then the code of
/// `CKernels/difference.h`. Both files have the same header, so the same tensors in the same places.
package struct WeightsDifference: Sendable {
    static let magic = Array("RDIF".utf8)
    static let version: UInt16 = 1
    static let headerBytes = 96
    /// Even, and small enough that both versions of a piece lie in a core's cache.
    static let pieceBytes = 512 << 10

    enum Kind: UInt32 {
        case same = 0
        case whole = 1
        case coded = 2
    }

    package let parent: BlobReference
    package let target: BlobReference
    let pieceBytes: Int
    /// One for each piece.
    let blocks: [(kind: Kind, range: Range<Int>)]
    private let file: MappedFile

    /// Checks all but what the blocks hold.
    package init(file path: String) throws(WeightsError) {
        try self.init(MappedFile(path))
    }

    /// - Parameter path: what errors call the bytes.
    package init(bytes: [UInt8], path: String) throws(WeightsError) {
        try self.init(MappedFile(copying: bytes, path: path))
    }

    package var pieceCount: Int { blocks.count }

    init(_ file: MappedFile) throws(WeightsError) {
        self.file = file
        func wrong(_ subject: String, _ found: String, _ expected: String) -> WeightsError {
            WeightsError(file: file.path, subject: subject, found: found, expected: expected)
        }
        let bytes = file.bytes
        guard bytes.count >= Self.headerBytes, bytes.prefix(4).elementsEqual(Self.magic) else {
            throw wrong("header", "other bytes", "a difference of weights")
        }
        func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard load(4, UInt16.self) == Self.version, load(6, UInt16.self) == 0 else {
            throw wrong("version", "\(load(4, UInt16.self))", "\(Self.version)")
        }
        func reference(_ offset: Int, _ subject: String) throws(WeightsError) -> BlobReference {
            guard let digest = Digest(bytes: Array(bytes[offset..<offset + 32])),
                let count = Int(exactly: load(offset + 32, UInt64.self))
            else { throw wrong(subject, "\(load(offset + 32, UInt64.self)) bytes", "at most 2^63 - 1") }
            return BlobReference(digest: digest, byteCount: count)
        }
        parent = try reference(8, "parent")
        target = try reference(48, "target")
        guard parent.byteCount == target.byteCount else {
            throw wrong("target", "\(target.byteCount) bytes", "\(parent.byteCount), as the parent has")
        }
        pieceBytes = Int(load(88, UInt32.self))
        guard pieceBytes >= 2, pieceBytes % 2 == 0, pieceBytes < 1 << 30 else {
            throw wrong("bytes of a piece", "\(pieceBytes)", "an even number below 2^30")
        }
        let count = Int(load(92, UInt32.self))
        guard count <= (bytes.count - Self.headerBytes) / 4 else {
            throw wrong("pieces", "\(count)", "no more than the file has room for")
        }
        var blocks: [(kind: Kind, range: Range<Int>)] = []
        blocks.reserveCapacity(count)
        var next = Self.headerBytes + 4 * count
        for index in 0..<count {
            let entry = load(Self.headerBytes + 4 * index, UInt32.self)
            let size = Int(entry & 0x3fff_ffff)
            guard let kind = Kind(rawValue: entry >> 30) else {
                throw wrong("piece \(index)", "kind 3", "0, 1 or 2")
            }
            guard size <= bytes.count - next else {
                throw wrong("piece \(index)", "a block of \(size) bytes", "at most the \(bytes.count - next) left")
            }
            blocks.append((kind, next..<next + size))
            next += size
        }
        guard next == bytes.count else { throw wrong("size", "\(bytes.count) bytes", "\(next), where its blocks end") }
        self.blocks = blocks
    }

    func bytes(of index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: file.bytes[blocks[index].range])
    }

    func wrong(_ subject: String, found: String, expected: String) -> WeightsError {
        WeightsError(
            file: file.path, subject: subject, found: found, expected: expected,
            advice: "fetch the whole snapshot instead")
    }
}

/// A part of a tensor's bytes, by its place in the snapshot's file.
struct WeightsPiece: Sendable {
    var range: Range<Int>
    /// Whether its numbers are compared one by one.
    var isCoded: Bool

    /// - Parameter bytes: of a piece; even.
    static func all(of file: SafetensorsFile, bytes: Int) -> [WeightsPiece] {
        file.tensors.flatMap { tensor in
            stride(from: 0, to: tensor.byteCount, by: bytes).map { start in
                let first = tensor.offset + start
                return WeightsPiece(
                    range: first..<first + min(bytes, tensor.byteCount - start), isCoded: tensor.type == .bfloat16)
            }
        }
    }
}
