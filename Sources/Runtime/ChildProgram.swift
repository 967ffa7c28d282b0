// How is one of our own programs found, and started with its words in a file?

import Foundation

package enum ChildProgram {
    /// The program of this name beside the one that runs.
    package static func path(_ name: String) throws(RuntimeError) -> String {
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let running = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))  // nil off Linux
            .map { URL(fileURLWithPath: $0) } ?? own
        let beside = running.deletingLastPathComponent().appendingPathComponent(name).path
        guard FileManager.default.isExecutableFile(atPath: beside) else {
            throw RuntimeError(
                "the `\(name)` program is not beside this one (`\(beside)`): build it with `swift build`")
        }
        return beside
    }

    /// - Parameters:
    ///   - command: program and arguments.
    ///   - log: made where there is none; an earlier process's last words stay: they say why it ended.
    package static func start(_ command: [String], log: String) throws(RuntimeError) -> Process {
        if !FileManager.default.fileExists(atPath: log) {
            _ = FileManager.default.createFile(atPath: log, contents: nil)
        }
        guard let file = FileHandle(forWritingAtPath: log) else {
            throw RuntimeError("cannot write the log `\(log)` of `\(command[0])`: \(errnoText())")
        }
        file.seekToEndOfFile()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = file
        process.standardError = file
        do {
            try process.run()
        } catch {
            throw RuntimeError("cannot start `\(command[0])`: \(error.localizedDescription)")
        }
        return process
    }
}
