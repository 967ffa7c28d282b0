// Where do content-addressed bytes live, and how does anyone know that they are whole?

import Foundation
import Rollouts

/// A folder of files, each named by its `TreeHash` in hexadecimal. A file under such a name was verified before it
/// got the name and is never changed, so its presence is enough; `verify` is for disks that rot.
///
/// Several processes may use one folder: names are only ever made by renaming whole files.
package struct BlobStore: Sendable {
    package let directory: String

    /// Makes the folder where there is none.
    package init(directory: String) throws(WeightsError) {
        self.directory = directory
        try Disk.createDirectory(directory)
    }

    package func path(for reference: BlobReference) -> String { directory + "/\(reference.digest)" }

    package func contains(_ reference: BlobReference) -> Bool {
        Disk.fileSize(path(for: reference)) == reference.byteCount
    }

    /// Stores bytes at hand.
    /// - Parameter durable: whether they must survive a loss of power.
    package func insert(_ bytes: [UInt8], durable: Bool = true) throws(WeightsError) -> BlobReference {
        let reference = BlobReference(digest: TreeHash.hash(bytes), byteCount: bytes.count)
        if contains(reference) { return reference }
        let file = try TemporaryFile(in: directory, expectedBytes: bytes.count)
        try file.write(bytes)
        try file.commit(as: "\(reference.digest)", durable: durable)
        return reference
    }

    /// Takes a finished file into the store: verifies, syncs and renames it, copying where it lies on another file
    /// system. The file is left where it was when this throws.
    package func adopt(_ temporaryFile: String, as reference: BlobReference) throws(WeightsError) {
        try reference.check(TreeHash.hash(file: temporaryFile), file: temporaryFile)
        let destination = path(for: reference)
        if rename(temporaryFile, destination) != 0 {
            guard errno == EXDEV else { throw .system("rename to \(destination)", file: temporaryFile, code: errno) }
            try Disk.copy(temporaryFile, as: "\(reference.digest)", in: directory)
            try Disk.remove(temporaryFile)
        } else {
            try Disk.sync(file: destination)
            try Disk.sync(directory: directory)
        }
    }

    /// Room for a blob that arrives in pieces.
    /// - Parameter durable: whether it must survive a loss of power.
    package func beginPartial(_ reference: BlobReference, durable: Bool = true) throws(WeightsError) -> PartialBlob {
        try PartialBlob(reference, store: self, durable: durable)
    }

    /// Exactly `count` bytes from `offset`.
    package func read(_ reference: BlobReference, offset: Int, count: Int) throws(WeightsError) -> [UInt8] {
        let path = path(for: reference)
        guard offset >= 0, count >= 0, offset <= reference.byteCount, count <= reference.byteCount - offset else {
            throw WeightsError(
                file: path, subject: "read", found: "\(count) bytes at offset \(offset)",
                expected: "a range within \(reference.byteCount) bytes")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", file: path, code: errno) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + done, count - done, off_t(offset + done))
            }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw .system("read", file: path, code: errno) }
            guard got > 0 else {
                throw WeightsError(
                    file: path, subject: "size", found: "\(offset + done) bytes",
                    expected: "\(reference.byteCount) bytes",
                    advice: "the file is cut short: remove it and fetch it again")
            }
            done += got
        }
        return bytes
    }

    /// Nothing happens where there is none.
    package func remove(_ reference: BlobReference) throws(WeightsError) { try Disk.remove(path(for: reference)) }

    /// Reads the whole file and holds its hash and size against the reference.
    package func verify(_ reference: BlobReference) throws(WeightsError) {
        let path = path(for: reference)
        try reference.check(TreeHash.hash(file: path), file: path)
    }

    /// All blobs by digest; files with other names are left out.
    package func list() throws(WeightsError) -> [BlobReference] {
        var blobs: [BlobReference] = []
        for name in try Disk.names(in: directory) {
            guard let digest = Digest(hex: name), "\(digest)" == name, let size = Disk.fileSize(directory + "/" + name)
            else {
                continue
            }
            blobs.append(BlobReference(digest: digest, byteCount: size))
        }
        return blobs
    }

    /// Removes what interrupted writers left behind. Only for a folder's one owner, before anyone else writes in it.
    package func removeLeftovers() throws(WeightsError) {
        for name in try Disk.names(in: directory) where name.hasPrefix(TemporaryFile.prefix) {
            try Disk.remove(directory + "/" + name)
        }
    }
}

/// A blob on its way: pieces in order from the start, hashed as they come. Dropped without `finish`, it leaves nothing
/// behind. One thread at a time.
package final class PartialBlob {
    package let reference: BlobReference
    /// The offset that the next piece must have.
    package var receivedBytes: Int { file.byteCount }

    private let store: BlobStore
    private let file: TemporaryFile
    private let durable: Bool
    private let hash = TreeHash()

    init(_ reference: BlobReference, store: BlobStore, durable: Bool) throws(WeightsError) {
        guard reference.byteCount >= 0 else {
            throw WeightsError(
                file: store.path(for: reference), subject: "size", found: "\(reference.byteCount)",
                expected: "at least 0")
        }
        self.reference = reference
        self.store = store
        self.durable = durable
        file = try TemporaryFile(in: store.directory, expectedBytes: reference.byteCount)
    }

    package func append(_ piece: [UInt8], at offset: Int) throws(WeightsError) {
        guard offset == receivedBytes else {
            throw error(found: "a piece at offset \(offset)", expected: "offset \(receivedBytes)")
        }
        guard piece.count <= reference.byteCount - receivedBytes else {
            throw error(
                found: "\(piece.count) bytes at offset \(offset)",
                expected: "at most \(reference.byteCount - receivedBytes), the rest of the blob")
        }
        hash.update(piece)
        try file.write(piece)
    }

    /// Verifies and makes the blob part of the store. Nothing may be appended after, whatever the outcome.
    package func finish() throws(WeightsError) {
        try reference.check(
            BlobReference(digest: hash.finish(), byteCount: receivedBytes), file: store.path(for: reference))
        try file.commit(as: "\(reference.digest)", durable: durable)
    }

    private func error(found: String, expected: String) -> WeightsError {
        WeightsError(file: store.path(for: reference), subject: "transfer", found: found, expected: expected)
    }
}
