// How a file's bytes are read, gzip or not.

import Foundation

/// A file's contents in pieces, decompressed by the system's gzip where the file is compressed (recognised by its first
/// bytes, whatever its name).
///
/// Not shared between threads: it owns a file handle and, for gzip, a child process that ends with it.
final class ByteStream {
    private static let chunkBytes = 1 << 16
    private static let gzipPaths = ["/usr/bin/gzip", "/bin/gzip"]

    private let path: String
    private let handle: FileHandle
    private var gzip: Process?
    /// Bytes read to recognise the format and not yet handed out.
    private var pending: Data

    init(path: String) throws(DatasetError) {
        self.path = path
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw .unreadable(path: path, reason: "no such file; paths are relative to the working directory")
        }
        if isFolder.boolValue { throw .unreadable(path: path, reason: "is a folder, expected a JSONL file") }
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw .unreadable(path: path, reason: "cannot be opened; check its permissions")
        }
        let start = try ByteStream.read(file, count: 2, path: path)
        guard start.elementsEqual([0x1F, 0x8B]) else {
            handle = file
            pending = start
            return
        }
        (handle, gzip) = try ByteStream.decompress(file, path: path)
        pending = Data()
    }

    deinit {
        // A process that has been read to its end has been waited for already.
        if let gzip, gzip.isRunning { gzip.terminate() }
    }

    /// The next piece; empty at the end.
    func read() throws(DatasetError) -> Data {
        if !pending.isEmpty {
            defer { pending = Data() }
            return pending
        }
        let chunk = try ByteStream.read(handle, count: ByteStream.chunkBytes, path: path)
        if chunk.isEmpty, let gzip {
            gzip.waitUntilExit()
            self.gzip = nil
            // 2 is a warning, such as padding after the end.
            if gzip.terminationStatus != 0 && gzip.terminationStatus != 2 {
                throw .unreadable(path: path, reason: "gzip cannot decompress it; the file is damaged or cut short")
            }
        }
        return chunk
    }

    private static func read(_ handle: FileHandle, count: Int, path: String) throws(DatasetError) -> Data {
        do {
            return try handle.read(upToCount: count) ?? Data()
        } catch {
            throw .unreadable(path: path, reason: "cannot be read: \(error.localizedDescription)")
        }
    }

    private static func decompress(_ file: FileHandle, path: String) throws(DatasetError) -> (FileHandle, Process) {
        guard let program = gzipPaths.first(where: FileManager.default.isExecutableFile) else {
            throw .unreadable(path: path, reason: "is compressed and gzip is not installed; decompress it")
        }
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["-dc"]
        process.standardInput = file
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        do {
            try file.seek(toOffset: 0)
            try process.run()
        } catch {
            throw .unreadable(path: path, reason: "gzip cannot be started: \(error.localizedDescription)")
        }
        return (output.fileHandleForReading, process)
    }
}
