// Steps, evaluations and folders for the tests.

import Cluster
import Foundation
import Rollouts

@testable import Telemetry

func metrics(_ step: Int, _ values: [(String, Double)]) -> StepMetrics {
    StepMetrics(
        step: step, policyVersion: PolicyVersion(UInt64(step)),
        weightsHash: Digest(bytes: [UInt8](repeating: 0xab, count: 32))!,
        values: values.map { StepMetrics.Value(name: $0.0, value: $0.1) })
}

func report(
    _ step: Int, right: Int, wrong: Int, noVerdict: Int = 0, length: Double = 8,
    sources: [(String, Int, Int)] = [], examples: [EvaluationReport.Example] = []
) -> EvaluationReport {
    EvaluationReport(
        step: step, version: PolicyVersion(UInt64(step)), right: right, wrong: wrong, noVerdict: noVerdict,
        completionTokensMean: length,
        bySource: sources.map { .init(source: $0.0, right: $0.1, judged: $0.2) }, examples: examples)
}

/// A folder that is removed with the test.
final class Folder {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "telemetry-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }  // a leftover temporary folder harms nobody

    func text(_ name: String) throws -> String {
        try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)
    }
    func write(_ text: String, to name: String) throws {
        try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
    }
    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
}

/// What is written to a descriptor, for views that want one.
final class Pipe {
    let writing: Int32
    private let reading: Int32
    init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0, "no pipe")
        (reading, writing) = (ends[0], ends[1])
    }
    /// Closes the writing end and reads everything.
    func finish() -> String {
        close(writing)
        defer { close(reading) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(reading, &chunk, chunk.count)
            if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
