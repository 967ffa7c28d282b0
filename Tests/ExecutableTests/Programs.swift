// How tests run the built programs: started, waited for with a deadline, killed.

import Foundation
import Testing

/// A folder of its own for runs, and the programs next to the test bundle.
final class Ground {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    let folder: URL
    var runs: String { folder.appendingPathComponent("runs").path }

    init() throws {
        folder = URL(fileURLWithPath: NSTemporaryDirectory())
            .appendingPathComponent("rk-\(UInt32.random(in: 0 ..< .max))", isDirectory: true)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    static func program(_ name: String) -> URL {
        var place = Bundle.main.bundleURL
        // The test runner lies in the toolchain, the bundle in .build/…/debug: walk up from whichever has the program.
        for candidate in [root.appendingPathComponent(".build/debug"), place] {
            place = candidate
            if FileManager.default.isExecutableFile(atPath: place.appendingPathComponent(name).path) { break }
        }
        return place.appendingPathComponent(name)
    }

    /// - Parameter environment: beside this process's own.
    func start(_ name: String, _ arguments: [String], environment: [String: String] = [:]) throws -> Running {
        try Running(Ground.program(name), arguments, in: folder, environment: environment)
    }

    func run(_ name: String, _ arguments: [String]) throws -> Finished {
        let running = try start(name, arguments)
        return try running.finish(within: 240)
    }

    func tiny(_ run: String, _ more: [String] = []) -> [String] {
        [
            "start", Ground.root.appendingPathComponent("cluster/recipes/tiny.yaml").path, "--name", run, "--runs", runs,
            "--plain",
            // A message lost with a killed process is made good when its lease ends.
            "--set", "cluster.lease_seconds=6",
        ] + more
    }

    func file(_ run: String, _ name: String) -> String { "\(runs)/\(run)/\(name)" }

    /// metrics.jsonl's objects.
    func metrics(_ run: String) throws -> [[String: Any]] {
        try String(contentsOfFile: file(run, "metrics.jsonl"), encoding: .utf8).split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    /// Step and weights hash of every trained step, in the file's order.
    func hashes(_ run: String) throws -> [String] {
        try metrics(run).compactMap { row in
            guard let step = row["step"], let hash = row["weights_hash"] as? String else { return nil }
            return "\(step) \(hash)"
        }
    }
}

struct Finished {
    var status: Int32
    var output: String
    var errors: String
}

final class Running {
    let process = Process()
    private let outputPath: String
    private let errorPath: String

    init(
        _ program: URL, _ arguments: [String], in folder: URL, environment: [String: String] = [:]
    ) throws {
        let stem = folder.appendingPathComponent("out-\(UInt32.random(in: 0 ..< .max))").path
        outputPath = stem + ".out"
        errorPath = stem + ".err"
        for path in [outputPath, errorPath] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        process.executableURL = program
        process.arguments = arguments
        process.currentDirectoryURL = folder
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: outputPath)
        process.standardError = FileHandle(forWritingAtPath: errorPath)
        try process.run()
    }

    /// Waits until something is true of the outside world; a deadline that passes is a failed test, not a hang.
    func wait(within seconds: Double, until condition: () -> Bool) throws {
        let deadline = Date() + seconds
        while !condition() {
            try #require(Date() < deadline, "waited \(seconds) s in vain; \(text(outputPath)) \(text(errorPath))")
            usleep(10_000)  // polling another process
        }
    }

    func finish(within seconds: Double) throws -> Finished {
        try wait(within: seconds) { !process.isRunning }
        return Finished(status: process.terminationStatus, output: text(outputPath), errors: text(errorPath))
    }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    var output: String { text(outputPath) }
    var errors: String { text(errorPath) }
    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}
