// Where a run keeps its things.

import Foundation
import Transport

/// `runs/NAME/` and the paths inside it.
package struct RunDirectory: Sendable {
    package let name: String
    package let url: URL
    /// The path as messages say it: relative where it was given so.
    package let shown: String

    package init(runs: String = "runs", name: String) {
        self.name = name
        shown = runs.hasSuffix("/") ? runs + name : runs + "/" + name
        url = URL(fileURLWithPath: runs, isDirectory: true).appendingPathComponent(name, isDirectory: true)
    }

    /// A directory given by path, for runs that are nobody's (a model session, an evaluation).
    package init(path: URL, name: String) {
        self.name = name
        url = path
        shown = path.path
    }

    package var path: String { url.path }
    package var recipe: String { url.appendingPathComponent("recipe.yaml").path }
    package var metrics: String { url.appendingPathComponent("metrics.jsonl").path }
    package var store: String { url.appendingPathComponent("run.sqlite").path }
    package var checkpoints: String { url.appendingPathComponent("checkpoints").path }
    package var logs: String { url.appendingPathComponent("logs").path }
    package var blobs: String { url.appendingPathComponent("blobs").path }
    package var tensorBoard: String { url.appendingPathComponent("tensorboard").path }
    /// For its owner alone.
    package var keys: String { url.appendingPathComponent("keys").path }
    package var coordinatorKey: String { keys + "/coordinator.key" }
    package var access: String { keys + "/access.sqlite" }
    /// For its owner alone: what `coordinator pause` and the like leave for the run.
    package var requests: String { url.appendingPathComponent("requests").path }
    package var status: String { url.appendingPathComponent("status.json").path }

    package var exists: Bool { FileManager.default.fileExists(atPath: store) }

    package func create() throws(RuntimeError) {
        for path in [path, checkpoints, logs, blobs, tensorBoard] {
            do {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            } catch {
                throw RuntimeError("cannot create the run's folder `\(path)`: \(error.localizedDescription)")
            }
        }
    }

    /// A socket path that fits a Unix socket address (107 bytes): in a folder of mode 0700 inside the run's, or in a
    /// temporary one. Local workers are not asked for keys: who may enter the folder may join. `removeSockets` removes
    /// it.
    package func socketAddress(_ purpose: String) throws -> String {
        let own = url.appendingPathComponent("sockets").path
        let inside = "\(own)/\(purpose)"
        if inside.utf8.count <= Address.longestPathBytes {
            try PrivateFolder.ensure(own)
            return "ipc://\(inside)"
        }
        let template = "/tmp/rookery-\(getuid())-XXXXXX"
        var bytes = Array(template.utf8CString)
        guard mkdtemp(&bytes) != nil else {
            throw RuntimeError("cannot create a temporary folder for the sockets in /tmp: \(errnoText())")
        }
        let folder = String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "ipc://\(folder)/\(purpose)"
    }

    /// Removes the files of sockets that are closed, and the temporary folders made for them.
    package func removeSockets(_ addresses: [String]) {
        for address in addresses where address.hasPrefix("ipc://") {
            let path = String(address.dropFirst("ipc://".count))
            unlink(path)
            let folder = (path as NSString).deletingLastPathComponent
            if folder != url.path { rmdir(folder) }
        }
    }

    /// Whether a name can be a run's folder.
    package static func check(name: String) throws(RuntimeError) {
        let allowed = name.utf8.allSatisfy {
            ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 45 || $0 == 46
                || $0 == 95
        }
        guard !name.isEmpty, name.utf8.count <= 100, allowed, !name.hasPrefix(".") else {
            throw RuntimeError(
                "the run name `\(name)` is not usable: letters, digits, `-`, `_` and `.` only, at most 100, "
                    + "no leading dot")
        }
    }
}

/// One line that says what was wrong and what to do.
package struct RuntimeError: Error, CustomStringConvertible, Equatable {
    package let description: String
    package init(_ description: String) { self.description = description }
}

func errnoText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }
