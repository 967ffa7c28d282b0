// The same numbers as metrics.jsonl, as TensorBoard reads them: a TFRecord file of `Event` messages with scalars.

import Cluster
import Foundation
import Rollouts

/// Writes one `events.out.tfevents.*` file. A second writer in the same folder (a resumed run) makes another one, and
/// TensorBoard shows them as one run.
package final class TensorBoardWriter {
    package let path: String
    private let file: AppendingFile
    private let clock: @Sendable () -> Double

    /// Makes the folder when it is missing.
    package convenience init(folder: String) throws(TelemetryError) {
        let host = ProcessInfo.processInfo.hostName
        try self.init(
            folder: folder, suffix: "\(host.isEmpty ? "host" : host).\(getpid())",
            clock: { Date().timeIntervalSince1970 })
    }

    /// - Parameter clock: wall-clock seconds since 1970; TensorBoard can plot against it.
    init(folder: String, suffix: String, clock: @escaping @Sendable () -> Double) throws(TelemetryError) {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw TelemetryError(operation: "opening", path: folder, reason: error.localizedDescription)
        }
        self.clock = clock
        path = "\(folder)/events.out.tfevents.\(Int64(clock())).\(suffix)"
        file = try AppendingFile(path: path)
        try file.append(TensorBoardRecord.frame(TensorBoardRecord.versionEvent(wallTime: clock())))
    }

    /// One scalar for each value, tagged with its name.
    package func append(_ metrics: StepMetrics) throws(TelemetryError) {
        try append(step: metrics.step, metrics.values.map { ($0.name, $0.value) })
    }

    /// `heldout_accuracy`, also by source, and the mean length.
    package func append(_ report: EvaluationReport) throws(TelemetryError) {
        var values: [(String, Double)] = []
        if report.right + report.wrong > 0 { values.append(("heldout_accuracy", report.accuracy)) }
        values.append(("heldout_completion_tokens_mean", report.completionTokensMean))
        for source in report.bySource where source.judged > 0 {
            values.append(("heldout_accuracy/\(source.source)", Double(source.right) / Double(source.judged)))
        }
        try append(step: report.step, values)
    }

    /// TensorBoard forgets what it read of all later steps.
    package func rewind(toStep step: Int) throws(TelemetryError) {
        try file.append(
            TensorBoardRecord.frame(TensorBoardRecord.restartEvent(wallTime: clock(), nextStep: step + 1)))
    }

    private func append(step: Int, _ values: [(tag: String, value: Double)]) throws(TelemetryError) {
        let event = TensorBoardRecord.scalarEvent(wallTime: clock(), step: step, values: values)
        try file.append(TensorBoardRecord.frame(event))
    }
}

/// The bytes: TFRecord frames, and the few fields of tensorflow/core/util/event.proto and summary.proto that we use.
enum TensorBoardRecord {
    /// Length, its masked CRC, the data, its masked CRC; little-endian.
    static func frame(_ data: [UInt8]) -> [UInt8] {
        let length = littleEndian(UInt64(data.count))
        return length + littleEndian(CRC32C.masked(length)) + data + littleEndian(CRC32C.masked(data))
    }

    /// Must come first in a file. Event.file_version = 3.
    static func versionEvent(wallTime: Double) -> [UInt8] {
        event(wallTime: wallTime, step: nil) + field(3, Array("brain.Event:2".utf8))
    }

    /// Event.summary = 5, Summary.value = 1, Value.tag = 1, Value.simple_value = 2 (float).
    static func scalarEvent(wallTime: Double, step: Int, values: [(tag: String, value: Double)]) -> [UInt8] {
        let summary = values.flatMap { value in
            field(1, field(1, Array(value.tag.utf8)) + [0x15] + littleEndian(Float(value.value).bitPattern))
        }
        return event(wallTime: wallTime, step: step) + field(5, summary)
    }

    /// Event.session_log = 7, SessionLog.status = 1, START = 1: drops everything at this step and later.
    static func restartEvent(wallTime: Double, nextStep: Int) -> [UInt8] {
        event(wallTime: wallTime, step: nextStep) + field(7, [0x08, 0x01])
    }

    /// Event.wall_time = 1 (double), Event.step = 2 (int64).
    private static func event(wallTime: Double, step: Int?) -> [UInt8] {
        [0x09] + littleEndian(wallTime.bitPattern)
            + (step.map { [0x10] + varint(UInt64(bitPattern: Int64($0))) } ?? [])
    }

    /// A length-delimited field.
    private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2] + varint(UInt64(bytes.count)) + bytes
    }

    static func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
