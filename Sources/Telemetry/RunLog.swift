// What the program said, line by line: logs/coordinator.log. swift-log stops here.

import Cluster
import Foundation
import Logging
import Synchronization

/// The log file of one process in one attempt at a run. Safe from any thread.
package final class RunLogFile: Sendable {
    package let path: String
    /// Writing is inside the lock, so that lines do not mix.
    private let file: Mutex<State>
    private let echo: @Sendable (String) -> Void
    private let clock: @Sendable () -> Double

    private struct State: ~Copyable {
        let descriptor: Int32
        var hasFailed = false
        deinit { close(descriptor) }
    }

    /// Opens `<folder>/<process>.log`. One that is there already becomes `<process>.attempt-1.log`, or the next number
    /// that is free.
    /// - Parameter echo: is given warnings and errors as well; nil writes them to standard error.
    package convenience init(
        folder: String, process: String, echo: (@Sendable (String) -> Void)? = nil
    ) throws(TelemetryError) {
        try self.init(
            folder: folder, process: process,
            echo: echo ?? { line in
                let bytes = Array((line + "\n").utf8)
                try? AppendingFile.write(bytes, to: STDERR_FILENO, path: "standard error")  // nowhere left to say it
            }, clock: { Date().timeIntervalSince1970 })
    }

    init(
        folder: String, process: String, echo: @escaping @Sendable (String) -> Void,
        clock: @escaping @Sendable () -> Double
    ) throws(TelemetryError) {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw TelemetryError(operation: "opening", path: folder, reason: error.localizedDescription)
        }
        path = "\(folder)/\(process).log"
        if FileManager.default.fileExists(atPath: path) {
            var attempt = 1
            while FileManager.default.fileExists(atPath: "\(folder)/\(process).attempt-\(attempt).log") {
                attempt += 1
            }
            guard rename(path, "\(folder)/\(process).attempt-\(attempt).log") == 0 else {
                throw AppendingFile.failure("rotating", path)
            }
        }
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw AppendingFile.failure("opening", path) }
        file = Mutex(State(descriptor: descriptor))
        self.echo = echo
        self.clock = clock
    }

    fileprivate func write(level: Logger.Level, metadata: Logger.Metadata, text: String) {
        let line = RunLogFile.line(time: clock(), level: level, metadata: metadata, text: text)
        let failure = file.withLock { state -> TelemetryError? in
            do throws(TelemetryError) {
                try AppendingFile.write(Array((line + "\n").utf8), to: state.descriptor, path: path)
                return nil
            } catch {
                // Said once: a full disk would otherwise fill the screen too.
                defer { state.hasFailed = true }
                return state.hasFailed ? nil : error
            }
        }
        if let failure { echo("warning \(failure)") }
        if level >= .warning { echo(line) }
    }

    /// "2026-11-24T10:28:45.063Z warning run=tiny step=3 worker=host-1 lease=7 text", always one line.
    static func line(time: Double, level: Logger.Level, metadata: Logger.Metadata, text: String) -> String {
        let first = ["run", "step", "worker", "lease"]
        let names = first.filter { metadata[$0] != nil } + metadata.keys.filter { !first.contains($0) }.sorted()
        let pairs = names.compactMap { name in metadata[name].map { "\(name)=\(word("\($0)")) " } }.joined()
        return "\(timestamp(time)) \(level.rawValue) \(pairs)\(oneLine(text))"
    }

    static func timestamp(_ seconds: Double) -> String {
        var whole = time_t(seconds.rounded(.down))
        let milliseconds = Int((seconds - seconds.rounded(.down)) * 1000)
        var parts = tm()
        gmtime_r(&whole, &parts)
        func padded(_ value: some BinaryInteger, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time).\(padded(milliseconds, 3))Z"
    }

    private static func word(_ text: String) -> String {
        text.isEmpty || text.contains(where: { $0.isWhitespace || $0 == "\"" || $0 == "=" })
            ? MetricsLog.quoted(text) : text
    }

    private static func oneLine(_ text: String) -> String {
        text.replacing("\r\n", with: "\\n").replacing("\n", with: "\\n").replacing("\r", with: "\\r")
    }
}

/// The log handler over a file: level and metadata belong to each logger, the file is shared.
package struct RunLog: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let file: RunLogFile

    package init(_ file: RunLogFile, level: Logger.Level = .info) {
        self.file = file
        self.logLevel = level
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let added = event.metadata { all.merge(added) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        file.write(level: event.level, metadata: all, text: event.message.description)
    }
}

/// What the rest of the program logs with, so that it need not know swift-log.
package struct RunLogger: Sendable {
    private var logger: Logger

    /// - Parameter run: on every line as `run=…`.
    package init(_ file: RunLogFile, run: String, verbose: Bool = false) {
        logger = Logger(label: run) { _ in RunLog(file, level: verbose ? .debug : .info) }
        logger[metadataKey: "run"] = "\(run)"
    }

    package func log(_ note: Note) {
        var metadata: Logger.Metadata = [:]
        if let step = note.step { metadata["step"] = "\(step)" }
        if let worker = note.worker { metadata["worker"] = "\(worker)" }
        if let lease = note.lease { metadata["lease"] = "\(lease.words)" }
        let level: Logger.Level =
            switch note.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        logger.log(level: level, "\(note.text)", metadata: metadata)
    }
}
