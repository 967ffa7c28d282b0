// Who may write a run: one coordinator, named by the lock file beside its store.

import Foundation

/// Holds `<store>.lock`. The kernel lets go of it when the process ends, however it ends.
struct RunLock: ~Copyable {
    private let descriptor: Int32

    /// A reader that asks who writes holds the lock for an instant; so a busy lock is tried a few times.
    private static let attemptLimit = 10

    init(storePath: String) throws(RunStoreError) {
        let path = RunLock.path(of: storePath)
        // Child processes must not inherit the lock: they would hold it beyond our end.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunStoreError.cannotOpen(path: path, reason: String(cString: strerror(errno)))
        }
        var attempt = 1
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR, attempt < RunLock.attemptLimit else {
                let holder = RunLock.holder(writtenIn: descriptor)
                close(descriptor)
                throw RunStoreError.locked(path: storePath, holder: holder)
            }
            attempt += 1
            usleep(10_000)
        }
        let line = "\(getpid())\n"
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, line, line.utf8.count, 0) == line.utf8.count else {
            let reason = errno
            close(descriptor)
            throw reason == ENOSPC
                ? RunStoreError.diskFull(path: path)
                : RunStoreError.cannotOpen(path: path, reason: String(cString: strerror(reason)))
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The process that has the run open for writing; nil when none has.
    static func holder(storePath: String) -> Int32? {
        let descriptor = open(path(of: storePath), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 {
            flock(descriptor, LOCK_UN)
            return nil
        }
        return holder(writtenIn: descriptor)
    }

    private static func path(of storePath: String) -> String { storePath + ".lock" }

    private static func holder(writtenIn descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }
}
