// Does the log keep one line for each thing that was said, with its time and place?

import Cluster
import Foundation
import Logging
import Rollouts
import Synchronization
import Testing

@testable import Telemetry

private final class Heard: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func hear(_ line: String) { lines.withLock { $0.append(line) } }
}

@Suite struct `A run log` {
    @Test func `writes time, level, run, step, worker, lease, text`() throws {
        let folder = try Folder()
        let file = try RunLogFile(
            folder: folder.path, process: "coordinator", echo: { _ in }, clock: { 1_700_000_000.0625 })
        let logger = RunLogger(file, run: "tiny")
        logger.log(Note(.info, "worker joined", step: 3, worker: "host-1", lease: LeaseIdentifier(2 << 40 | 7)))
        logger.log(Note(.info, "two\nlines", worker: "has space"))
        logger.log(Note(.debug, "not heard"))
        #expect(
            try folder.text("coordinator.log") == """
                2023-11-14T22:13:20.062Z info run=tiny step=3 worker=host-1 lease=2.7 worker joined
                2023-11-14T22:13:20.062Z info run=tiny worker="has space" two\\nlines

                """)
    }

    @Test func `says debug notes when asked to`() throws {
        let folder = try Folder()
        let file = try RunLogFile(folder: folder.path, process: "c", echo: { _ in }, clock: { 0 })
        RunLogger(file, run: "r", verbose: true).log(Note(.debug, "heard"))
        #expect(try folder.text("c.log") == "1970-01-01T00:00:00.000Z debug run=r heard\n")
    }

    @Test func `repeats warnings and errors on the screen`() throws {
        let folder = try Folder()
        let heard = Heard()
        let file = try RunLogFile(folder: folder.path, process: "c", echo: heard.hear, clock: { 0 })
        let logger = RunLogger(file, run: "r")
        for level in [Note.Level.info, .warning, .error] { logger.log(Note(level, "x")) }
        #expect(
            heard.all == ["1970-01-01T00:00:00.000Z warning run=r x", "1970-01-01T00:00:00.000Z error run=r x"])
        #expect(try folder.text("c.log").split(separator: "\n").count == 3)
    }

    @Test func `keeps the logs of earlier attempts`() throws {
        let folder = try Folder()
        for attempt in 1...3 {
            let file = try RunLogFile(folder: folder.path, process: "coordinator", echo: { _ in }, clock: { 0 })
            RunLogger(file, run: "r").log(Note(.info, "attempt \(attempt)"))
        }
        _ = try RunLogFile(folder: folder.path, process: "worker-1", echo: { _ in }, clock: { 0 })
        #expect(
            try folder.names() == [
                "coordinator.attempt-1.log", "coordinator.attempt-2.log", "coordinator.log", "worker-1.log",
            ])
        #expect(try folder.text("coordinator.attempt-1.log").hasSuffix("attempt 1\n"))
        #expect(try folder.text("coordinator.log").hasSuffix("attempt 3\n"))
    }

    @Test func `is a log handler with values of its own`() throws {
        let folder = try Folder()
        let file = try RunLogFile(folder: folder.path, process: "c", echo: { _ in }, clock: { 0 })
        var first = Logger(label: "l") { _ in RunLog(file) }
        let second = first
        first[metadataKey: "zone"] = "a"
        first.logLevel = .error
        #expect(second.logLevel == .info)
        second.info("text", metadata: ["key": "v=1", "empty": ""])
        first.error("text")
        #expect(
            try folder.text("c.log")
                == "1970-01-01T00:00:00.000Z info empty=\"\" key=\"v=1\" text\n"
                + "1970-01-01T00:00:00.000Z error zone=a text\n")
    }

    @Test func `mixes no lines of many threads`() async throws {
        let folder = try Folder()
        let file = try RunLogFile(folder: folder.path, process: "c", echo: { _ in }, clock: { 0 })
        let logger = RunLogger(file, run: "r")
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                group.addTask {
                    for _ in 0..<50 { logger.log(Note(.info, String(repeating: "\(thread)", count: 200))) }
                }
            }
        }
        let lines = try folder.text("c.log").split(separator: "\n")
        #expect(lines.count == 400)
        #expect(lines.allSatisfy { line in Set(line.suffix(200)).count == 1 && line.count == 200 + 36 })
    }

    @Test(arguments: [
        (0.0, "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"),
        (4_102_444_799.9375, "2099-12-31T23:59:59.937Z"),
    ])
    func `writes times in UTC`(seconds: Double, text: String) {
        #expect(RunLogFile.timestamp(seconds) == text)
    }
}
