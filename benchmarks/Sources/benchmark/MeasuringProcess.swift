// One measurement in a process of its own, so that its memory and its start are its own.

import Foundation
import Measurement

struct MeasuringProcess {
    let executable: String
    let arguments: [String]
    var environment: [String: String] = [:]

    /// Another command of this program.
    static func own(_ arguments: [String]) throws -> MeasuringProcess {
        let path = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return MeasuringProcess(executable: path, arguments: arguments)
    }

    /// Runs it to its end; what it writes to standard error is shown.
    /// - Parameter watch: called about four times a second while it runs.
    /// - Returns: everything it wrote to standard output.
    func output(watch: ((Int32) -> Void)? = nil) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        // A file, not a pipe: nobody has to read while it runs.
        let path = NSTemporaryDirectory() + "rookery-benchmark-\(getpid())-\(monotonicNanoseconds())"
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let file = FileHandle(forWritingAtPath: path)
        else { throw BenchmarkError("cannot write to `\(path)`") }
        defer { try? FileManager.default.removeItem(atPath: path) }  // a leftover in the temporary folder harms nobody
        process.standardOutput = file
        try process.run()
        if let watch {
            while process.isRunning {
                watch(process.processIdentifier)
                usleep(250_000)
            }
        }
        process.waitUntilExit()
        try file.close()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            let command = ([executable] + arguments).joined(separator: " ")
            throw BenchmarkError(
                "`\(command)` ended with status \(process.terminationStatus)\n" + String(text.suffix(2000)))
        }
        return text
    }

    func readings() throws -> Readings { try Readings(output: output()) }
}
