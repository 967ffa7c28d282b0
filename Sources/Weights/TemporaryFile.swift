// How does a file come to be so that it is either whole and durable under its name, or not there?

import Foundation

/// Written under a temporary name in its destination's folder, then synced, renamed, and the folder synced. A file that is
/// never committed is removed. One thread at a time.
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

    func write(_ bytes: [UInt8]) throws(WeightsError) {
        let result: Result<Void, WeightsError> = bytes.withUnsafeBytes { raw in
            Result { () throws(WeightsError) in try write(raw) }
        }
        try result.get()
    }

    /// Makes the bytes durable under `name`, replacing what had that name. A failed sync is never tried again: the kernel
    /// may have dropped the pages.
    /// - Returns: the path.
    @discardableResult
    func commit(as name: String) throws(WeightsError) -> String {
        guard fsync(descriptor) == 0 else { throw .system("sync", file: path, code: errno, neededBytes: expectedBytes) }
        close(descriptor)
        descriptor = -1
        let destination = directory + "/" + name
        guard rename(path, destination) == 0 else {
            let code = errno
            unlink(path)
            throw .system("rename to \(name)", file: path, code: code)
        }
        try Disk.sync(directory: directory)
        return destination
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(path)
    }
}

/// What a file system is asked for besides reading and writing.
enum Disk {
    /// Refuses when the file system says that it has less room than this.
    static func requireSpace(_ bytes: Int, in directory: String) throws(WeightsError) {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { throw .system("look at free space", file: directory, code: errno) }
        let (available, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        guard overflow || available >= UInt64(max(0, bytes)) else {
            throw WeightsError(
                file: directory, subject: "free space", found: "\(available) bytes", expected: "\(bytes) bytes",
                advice: "free space on its disk or choose another folder")
        }
    }

    static func createDirectory(_ path: String) throws(WeightsError) {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
        let parent = (path as NSString).deletingLastPathComponent
        if !parent.isEmpty, parent != path { try createDirectory(parent) }
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw .system("make folder", file: path, code: errno) }
    }

    static func sync(directory: String) throws(WeightsError) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open folder", file: directory, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .system("sync folder", file: directory, code: errno) }
    }

    /// Names in a folder, sorted; none where there is no folder.
    static func names(in directory: String) throws(WeightsError) -> [String] {
        guard let stream = opendir(directory) else {
            guard errno == ENOENT else { throw .system("list folder", file: directory, code: errno) }
            return []
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Bytes of a regular file; nil where there is none.
    static func fileSize(_ path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Removes a file or a folder with all files directly in it.
    static func remove(_ path: String) throws(WeightsError) {
        if isDirectory(path) {
            for name in try names(in: path) { try remove(path + "/" + name) }
            guard rmdir(path) == 0 || errno == ENOENT else { throw .system("remove folder", file: path, code: errno) }
        } else {
            guard unlink(path) == 0 || errno == ENOENT else { throw .system("remove", file: path, code: errno) }
        }
    }
}
