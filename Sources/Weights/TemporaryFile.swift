// How does a file come to be so that it is either whole and durable under its name, or not there?

import Foundation

/// Written under a temporary name in its destination's folder, then synced, renamed, and the folder synced. A file
/// that is never committed is removed. One thread at a time.
final class TemporaryFile {
    static let prefix = ".tmp-"

    let path: String
    private let directory: String
    private let expectedBytes: Int
    private var descriptor: Int32
    private(set) var byteCount = 0

    /// - Parameter expectedBytes: refused here where the disk has no such room.
    init(in directory: String, expectedBytes: Int) throws(WeightsError) {
        try Disk.requireSpace(expectedBytes, in: directory)
        self.directory = directory
        self.expectedBytes = expectedBytes
        path = directory + "/" + TemporaryFile.uniqueName()
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system("create", file: path, code: errno, neededBytes: expectedBytes) }
    }

    static func uniqueName() -> String { "\(prefix)\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 16))" }

    func write(_ bytes: UnsafeRawBufferPointer) throws(WeightsError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest)
            let count = Foundation.write(descriptor, piece.baseAddress, piece.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw .system("write", file: path, code: errno, neededBytes: expectedBytes) }
            rest = rest.dropFirst(count)
            byteCount += count
        }
    }

    /// Where several threads write at once, each its own part, while the file is open.
    struct Place: Sendable {
        fileprivate let descriptor: Int32
        fileprivate let path: String
        fileprivate let expectedBytes: Int

        func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(WeightsError) {
            var done = 0
            while done < bytes.count {
                let count = pwrite(
                    descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw .system("write", file: path, code: errno, neededBytes: expectedBytes) }
                done += count
            }
        }
    }

    /// Does not move where `write` goes on.
    var place: Place { Place(descriptor: descriptor, path: path, expectedBytes: expectedBytes) }

    func write(_ bytes: [UInt8]) throws(WeightsError) {
        let result: Result<Void, WeightsError> = bytes.withUnsafeBytes { raw in
            Result { () throws(WeightsError) in try write(raw) }
        }
        try result.get()
    }

    /// Makes the bytes durable under `name`, replacing what had that name. A failed sync is never tried again: the
    /// kernel may have dropped the pages.
    /// - Parameter durable: false for what may be lost with the machine's power: then nothing is synced.
    /// - Returns: the path.
    @discardableResult
    func commit(as name: String, durable: Bool = true) throws(WeightsError) -> String {
        guard !durable || fsync(descriptor) == 0 else {
            throw .system("sync", file: path, code: errno, neededBytes: expectedBytes)
        }
        close(descriptor)
        descriptor = -1
        let destination = directory + "/" + name
        guard rename(path, destination) == 0 else {
            let code = errno
            unlink(path)
            throw .system("rename to \(name)", file: path, code: code)
        }
        if durable { try Disk.sync(directory: directory) }
        return destination
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(path)
    }
}
