// A file that only grows: every write is whole and at the end.

import Foundation

/// Owns one descriptor; closed with the last reference. Use from one thread at a time, or behind a lock.
final class AppendingFile {
    let path: String
    private let descriptor: Int32

    /// Opens or creates.
    init(path: String) throws(TelemetryError) {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw AppendingFile.failure("opening", path) }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Hands the bytes to the system before it returns: the end of the process does not lose them.
    func append(_ bytes: some Collection<UInt8>) throws(TelemetryError) {
        try AppendingFile.write(Array(bytes), to: descriptor, path: path)
    }

    static func write(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(TelemetryError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                throw failure("writing", path)
            }
        }
    }

    static func failure(_ operation: String, _ path: String) -> TelemetryError {
        TelemetryError(operation: operation, path: path, reason: String(cString: strerror(errno)))
    }
}
