// What a run left in metrics.jsonl, and whether two runs left the same.

import Foundation

/// One run's metrics file.
package struct RunRecord {
    /// What is measured, and so differs between any two runs.
    private static func isMeasured(_ key: String) -> Bool {
        key == "workers" || key == "seconds" || key.hasPrefix("seconds_") || key.hasSuffix("_per_second")
    }

    private struct Row {
        var step: Int
        var values: [(key: String, text: String)]
        var hash: String? { values.first { $0.key == "weights_hash" }?.text }
        var name: String { hash == nil ? "the evaluation after step \(step)" : "step \(step)" }
    }

    private let rows: [Row]

    /// - Parameter path: a file that is not there is a run without steps.
    package init(path: String) throws(FaultInjectionError) {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        var rows: [Row] = []
        for line in data.split(separator: UInt8(ascii: "\n")) {
            // A line that is no object is said below, with the file's name.
            guard let object = (try? JSONSerialization.jsonObject(with: line)) as? [String: Any],  // see above
                let step = object["step"] as? Int
            else { throw FaultInjectionError("`\(path)` has a line that is no object with a step") }
            let values = object.filter { !RunRecord.isMeasured($0.key) }.map { (key: $0.key, text: "\($0.value)") }
            rows.append(Row(step: step, values: values.sorted { $0.key < $1.key }))
        }
        self.rows = rows
    }

    /// Step after step, in the file's order.
    package var steps: [Int] { rows.filter { $0.hash != nil }.map(\.step) }
    package var lastHash: String? { rows.last { $0.hash != nil }?.hash }

    /// The newest step in a file that may be in the middle of being written; 0 for none.
    package static func newestStep(path: String) -> Int {
        guard let data = FileManager.default.contents(atPath: path) else { return 0 }
        let prefix = Data("{\"step\":".utf8)
        for line in data.split(separator: UInt8(ascii: "\n")).reversed()
        where line.starts(with: prefix) && line.range(of: Data("\"weights_hash\"".utf8)) != nil {
            let digits = line.dropFirst(prefix.count).prefix { $0 != UInt8(ascii: ",") }
            if let step = Int(String(decoding: digits, as: UTF8.self)) { return step }
        }
        return 0
    }

    /// The first thing in which the other run differs; nil when none. Evaluations may come before or after the line of
    /// the step that is trained meanwhile, so the order of the two kinds is not compared.
    package func difference(from other: RunRecord) -> String? {
        for kind in [true, false] {
            let mine = rows.filter { ($0.hash != nil) == kind }
            let theirs = other.rows.filter { ($0.hash != nil) == kind }
            for (left, right) in zip(mine, theirs) {
                if left.name != right.name { return "\(left.name) stands where the other has \(right.name)" }
                if left.values.map(\.key) != right.values.map(\.key) { return "\(left.name) has other keys" }
                for (a, b) in zip(left.values, right.values) where a.text != b.text {
                    return "\(left.name), \(a.key): \(a.text) and \(b.text)"
                }
            }
            if mine.count != theirs.count {
                return "\(mine.count) and \(theirs.count) \(kind ? "steps" : "evaluations")"
            }
        }
        return nil
    }
}
