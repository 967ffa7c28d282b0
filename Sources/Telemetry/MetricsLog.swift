// What happened at each step, for people and their notebooks: metrics.jsonl, one JSON object a line.

import Cluster
import Foundation
import Rollouts

/// Writes `metrics.jsonl`. Two kinds of lines, both with `step` first, so that a reader can tell them by their keys:
///
///     {"step":7,"policy_version":7,"reward_mean":0.41,…,"weights_hash":"5f…"}          a step, keys in a fixed order
///     {"step":10,"policy_version":10,"heldout_accuracy":0.4375,"heldout_right":28,…}   an evaluation after a step
///
/// An evaluation is always its own line: it ends later than its step, and a step's line does not wait for it.
package final class MetricsLog {
    package let path: String
    private var file: AppendingFile

    /// Opens or creates. What a killed process left of a last line is removed.
    package init(path: String) throws(TelemetryError) {
        self.path = path
        if let text = try MetricsLog.contents(path), text.last ?? MetricsLog.newline != MetricsLog.newline {
            let end = text.lastIndex(of: MetricsLog.newline).map { $0 + 1 } ?? 0
            guard Foundation.truncate(path, off_t(end)) == 0 else { throw AppendingFile.failure("truncating", path) }
        }
        file = try AppendingFile(path: path)
    }

    package func append(_ metrics: StepMetrics) throws(TelemetryError) {
        try file.append(MetricsLog.line(metrics).utf8)
    }

    package func append(_ report: EvaluationReport) throws(TelemetryError) {
        try file.append(MetricsLog.line(report).utf8)
    }

    /// Removes the lines of all later steps: a run that goes on from a checkpoint makes them again. The file is
    /// replaced at once, so that a kill leaves the old or the new one.
    package func truncate(afterStep step: Int) throws(TelemetryError) {
        let text = try MetricsLog.contents(path) ?? []
        let lines = text.split(separator: MetricsLog.newline)
        // A line that is not ours has no step and stays.
        let kept = lines.filter { MetricsLog.step(ofLine: $0) ?? .min <= step }
        if kept.count == lines.count { return }
        let replacement = path + ".new"
        guard unlink(replacement) == 0 || errno == ENOENT else {
            throw AppendingFile.failure("truncating", replacement)
        }
        let rewritten = try AppendingFile(path: replacement)
        try rewritten.append(Array(kept.map { $0 + [MetricsLog.newline] }.joined()))
        guard rename(replacement, path) == 0 else { throw AppendingFile.failure("truncating", path) }
        file = try AppendingFile(path: path)
    }

    /// What of these has no line yet, a step before its evaluation: the store is written first, and a process that is
    /// killed between the two leaves a record without a line.
    package func missing(
        of steps: [StepMetrics], _ evaluations: [EvaluationReport]
    ) throws(TelemetryError) -> (steps: [StepMetrics], evaluations: [EvaluationReport]) {
        let marker = Array("\"weights_hash\":".utf8)
        var present: (steps: Set<Int>, evaluations: Set<Int>) = ([], [])
        for line in try MetricsLog.contents(path)?.split(separator: MetricsLog.newline) ?? [] {
            guard let step = MetricsLog.step(ofLine: line) else { continue }
            if line.firstRange(of: marker) != nil {
                present.steps.insert(step)
            } else {
                present.evaluations.insert(step)
            }
        }
        return (
            steps.filter { !present.steps.contains($0.step) },
            evaluations.filter { !present.evaluations.contains($0.step) }
        )
    }

    // MARK: - Lines

    static func line(_ metrics: StepMetrics) -> String {
        var pairs = [("step", String(metrics.step)), ("policy_version", String(metrics.policyVersion.rawValue))]
        pairs += metrics.values.map { ($0.name, number($0.value)) }
        pairs.append(("weights_hash", "\"\(metrics.weightsHash)\""))
        return object(pairs)
    }

    static func line(_ report: EvaluationReport) -> String {
        let judged = report.right + report.wrong
        return object([
            ("step", String(report.step)), ("policy_version", String(report.version.rawValue)),
            ("heldout_accuracy", judged == 0 ? "null" : number(report.accuracy)),
            ("heldout_right", String(report.right)), ("heldout_judged", String(judged)),
            ("heldout_no_verdict", String(report.noVerdict)),
            ("heldout_completion_tokens_mean", number(report.completionTokensMean)),
        ])
    }

    private static func object(_ pairs: [(name: String, value: String)]) -> String {
        "{" + pairs.map { "\(quoted($0.name)):\($0.value)" }.joined(separator: ",") + "}\n"
    }

    /// The shortest digits that read back exactly. JSON has no NaN and no infinity: they become null.
    static func number(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        return value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : value.description
    }

    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\u{0}"..."\u{1f}":
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// Of a line that begins as ours do.
    static func step(ofLine line: some Sequence<UInt8>) -> Int? {
        let prefix = Array("{\"step\":".utf8)
        let bytes = Array(line)
        guard bytes.starts(with: prefix) else { return nil }
        return Int(String(decoding: bytes.dropFirst(prefix.count).prefix { $0 != UInt8(ascii: ",") }, as: UTF8.self))
    }

    private static let newline = UInt8(ascii: "\n")

    /// Nil when there is no file.
    private static func contents(_ path: String) throws(TelemetryError) -> [UInt8]? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw TelemetryError(operation: "reading", path: path, reason: error.localizedDescription)
        }
    }
}
