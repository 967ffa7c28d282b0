// What is a file system asked for besides reading and writing files?

import Foundation

/// Every failure names the path and the reason.
enum Disk {
    /// Refuses when the file system says that it has less room than this.
    static func requireSpace(_ bytes: Int, in directory: String) throws(WeightsError) {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else {
            throw .system("look at free space", file: directory, code: errno)
        }
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
        try sync(directory: parent.isEmpty ? "." : parent)
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
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
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

    /// Removes a file, or a folder with all that is in it; links are removed, not followed.
    static func remove(_ path: String) throws(WeightsError) {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            for name in try names(in: path) { try remove(path + "/" + name) }
            guard rmdir(path) == 0 || errno == ENOENT else { throw .system("remove folder", file: path, code: errno) }
        } else {
            guard unlink(path) == 0 || errno == ENOENT else { throw .system("remove", file: path, code: errno) }
        }
    }

    static func sync(file path: String) throws(WeightsError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", file: path, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .system("sync", file: path, code: errno) }
    }

    /// A durable copy under a new name.
    static func copy(_ path: String, as name: String, in directory: String) throws(WeightsError) {
        let source = try MappedFile(path)
        let file = try TemporaryFile(in: directory, expectedBytes: source.bytes.count)
        try withExtendedLifetime(source) { () throws(WeightsError) in try file.write(source.bytes) }
        try file.commit(as: name)
    }

    /// A second name for the same bytes, or a copy where the file system gives none.
    static func link(_ path: String, as name: String, in directory: String) throws(WeightsError) {
        if Foundation.link(path, directory + "/" + name) == 0 { return }
        guard [EXDEV, EPERM, EMLINK, EOPNOTSUPP].contains(errno) else {
            throw .system("link as \(directory)/\(name)", file: path, code: errno)
        }
        try copy(path, as: name, in: directory)
    }
}
