// What does a command say that ends soon?

import Foundation

enum Command {
    static func output(_ command: [String]) throws(FaultInjectionError) -> String {
        let process = Process()
        let said = Pipe()
        let complained = Pipe()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = said
        process.standardError = complained
        do {
            try process.run()
        } catch {
            throw FaultInjectionError("cannot start `\(command[0])`: \(error.localizedDescription)")
        }
        // A few lines at most: they fit a pipe, so that neither waits for the other.
        let output = String(decoding: said.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let errors = String(decoding: complained.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let words = command.drop { $0 == "/bin/sh" || $0 == "-c" || $0.hasPrefix("exec ") }.joined(separator: " ")
            throw FaultInjectionError(
                "`\(words)` failed: \(errors.split(separator: "\n").last.map(String.init) ?? "it said nothing")")
        }
        return output
    }
}
