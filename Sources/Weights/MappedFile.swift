// How are a file's bytes read without copying them?

import Foundation

/// A whole file mapped read-only, or bytes that are in memory already. A file that shrinks while it is mapped ends the
/// process with SIGBUS, so model files and blobs are replaced by renaming and never changed in place.
///
/// Guard of `@unchecked Sendable`: the mapping is never written or moved, and lives as long as this object.
final class MappedFile: @unchecked Sendable {
    let path: String
    let bytes: UnsafeRawBufferPointer
    private let isMapped: Bool

    /// - Parameter path: what errors call the bytes.
    init(copying contents: [UInt8], path: String) {
        self.path = path
        isMapped = false
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: contents.count, alignment: 64)
        copy.copyBytes(from: contents)
        bytes = UnsafeRawBufferPointer(copy)
    }

    init(_ path: String) throws(WeightsError) {
        self.path = path
        isMapped = true
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", file: path, code: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system("stat", file: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw WeightsError(file: path, subject: "open", found: "a folder or device", expected: "a regular file")
        }
        guard status.st_size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let size = Int(status.st_size)
        guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            throw .system("map", file: path, code: errno, neededBytes: size)
        }
        bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    deinit {
        guard isMapped else { return bytes.deallocate() }
        if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
    }

    /// Pages that lie within a part of `bytes` no longer count as this process's memory: they are the system's to keep,
    /// and mapped again when they are read.
    func releasePages(of part: UnsafeRawBufferPointer) {
        guard let start = part.baseAddress else { return }
        let page = Int(getpagesize())
        let first = (Int(bitPattern: start) + page - 1) / page * page
        let end = (Int(bitPattern: start) + part.count) / page * page
        if end > first { madvise(UnsafeMutableRawPointer(bitPattern: first), end - first, MADV_DONTNEED) }
    }

    /// A small file whole, refused above `limit` bytes; nil where there is none.
    static func contents(_ path: String, limit: Int) throws(WeightsError) -> [UInt8]? {
        guard access(path, F_OK) == 0 else { return nil }
        let file = try MappedFile(path)
        guard file.bytes.count <= limit else {
            throw WeightsError(
                file: path, subject: "size", found: "\(file.bytes.count) bytes", expected: "at most \(limit)")
        }
        return withExtendedLifetime(file) { [UInt8](file.bytes) }
    }
}
