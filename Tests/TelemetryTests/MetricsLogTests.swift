// Is metrics.jsonl one valid object a line, in a fixed order, and whole after a kill?

import Cluster
import Foundation
import Rollouts
import Testing

@testable import Telemetry

private let hash = String(repeating: "ab", count: 32)

@Suite struct `metrics.jsonl` {
    @Test func `has a step's keys in their order`() throws {
        let folder = try Folder()
        let log = try MetricsLog(path: folder.path + "/metrics.jsonl")
        try log.append(metrics(7, [("reward_mean", 0.375), ("kl", 1e-5), ("count", 64), ("odd \"name\"\n", -0.5)]))
        #expect(
            try folder.text("metrics.jsonl") == """
                {"step":7,"policy_version":7,"reward_mean":0.375,"kl":1e-05,"count":64,"odd \\"name\\"\\u000a":-0.5,\
                "weights_hash":"\(hash)"}

                """)
    }

    @Test func `has evaluations as lines of their own`() throws {
        let folder = try Folder()
        let log = try MetricsLog(path: folder.path + "/metrics.jsonl")
        try log.append(report(10, right: 28, wrong: 36, noVerdict: 2, length: 11.25))
        try log.append(report(0, right: 0, wrong: 0))
        #expect(
            try folder.text("metrics.jsonl") == """
                {"step":10,"policy_version":10,"heldout_accuracy":0.4375,"heldout_right":28,"heldout_judged":64,\
                "heldout_no_verdict":2,"heldout_completion_tokens_mean":11.25}
                {"step":0,"policy_version":0,"heldout_accuracy":null,"heldout_right":0,"heldout_judged":0,\
                "heldout_no_verdict":0,"heldout_completion_tokens_mean":8}

                """)
    }

    @Test func `is JSON whatever the numbers are`() throws {
        let values: [Double] = [.nan, .infinity, -.infinity, 0.1, -0.0, 1e300, 2.5e-308, 123_456_789_012_345_680]
        let line = MetricsLog.line(metrics(1, values.enumerated().map { ("v\($0.offset)", $0.element) }))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        for (index, value) in values.enumerated() {
            if value.isFinite {
                #expect(object["v\(index)"] as? Double == value)
            } else {
                #expect(object["v\(index)"] is NSNull)
            }
        }
    }

    @Test func `goes on after the steps it kept`() throws {
        let folder = try Folder()
        let log = try MetricsLog(path: folder.path + "/metrics.jsonl")
        for step in 1...12 {
            try log.append(metrics(step, [("reward_mean", Double(step))]))
            if step % 5 == 0 { try log.append(report(step, right: step, wrong: 1)) }
        }
        let before = try folder.text("metrics.jsonl").split(separator: "\n")
        try log.truncate(afterStep: 10)
        try log.append(metrics(11, [("reward_mean", 0)]))
        let after = try folder.text("metrics.jsonl").split(separator: "\n")
        #expect(
            Array(after.dropLast())
                == before.filter { !$0.hasPrefix("{\"step\":11,") && !$0.hasPrefix("{\"step\":12,") })
        #expect(after.count == 13)
        #expect(after.last?.hasPrefix("{\"step\":11,\"policy_version\":11,\"reward_mean\":0,") == true)
        #expect(try folder.names() == ["metrics.jsonl"])
    }

    @Test func `keeps lines that are not ours, and an empty file stays empty`() throws {
        let folder = try Folder()
        try folder.write("# by hand\n{\"step\":3,\"x\":1}\n", to: "metrics.jsonl")
        let log = try MetricsLog(path: folder.path + "/metrics.jsonl")
        try log.truncate(afterStep: 2)
        #expect(try folder.text("metrics.jsonl") == "# by hand\n")
        let other = try MetricsLog(path: folder.path + "/other.jsonl")
        try other.truncate(afterStep: 0)
        #expect(try folder.text("other.jsonl").isEmpty)
    }

    @Test func `knows what was stored and has no line yet`() throws {
        let folder = try Folder()
        let log = try MetricsLog(path: folder.path + "/metrics.jsonl")
        try log.append(metrics(1, [("a", 1)]))
        try log.append(report(1, right: 1, wrong: 1))
        try log.append(metrics(2, [("a", 2)]))
        let steps = [1, 2, 3].map { metrics($0, [("a", 1)]) }
        let evaluations = [1, 2].map { report($0, right: 1, wrong: 1) }
        let missing = try log.missing(of: steps, evaluations)
        #expect(missing.steps == [steps[2]])
        #expect(missing.evaluations == [evaluations[1]])
    }

    @Test func `loses only the torn end of a last line`() throws {
        let folder = try Folder()
        let path = folder.path + "/metrics.jsonl"
        let whole = MetricsLog.line(metrics(1, [("a", 1)]))
        let torn = MetricsLog.line(metrics(2, [("a", 2)]))
        for length in 0..<torn.utf8.count {
            try folder.write(whole + String(torn.prefix(length)), to: "metrics.jsonl")
            _ = try MetricsLog(path: path)
            #expect(try folder.text("metrics.jsonl") == whole)
        }
        try folder.write(whole + torn, to: "metrics.jsonl")
        _ = try MetricsLog(path: path)
        #expect(try folder.text("metrics.jsonl") == whole + torn)
        try folder.write("{\"st", to: "metrics.jsonl")
        _ = try MetricsLog(path: path)
        #expect(try folder.text("metrics.jsonl").isEmpty)
    }

    @Test func `that cannot be opened names itself`() {
        let error = #expect(throws: TelemetryError.self) { try MetricsLog(path: "/nowhere/metrics.jsonl") }
        #expect(
            error?.description
                == "/nowhere/metrics.jsonl: opening failed (No such file or directory): check that the folder exists, "
                + "is yours to write, and has space")
    }

    @Test func `on a full disk says so`() throws {
        guard FileManager.default.fileExists(atPath: "/dev/full") else { return print("skipped: no /dev/full here") }
        let file = try AppendingFile(path: "/dev/full")
        let error = #expect(throws: TelemetryError.self) { try file.append(Array("x".utf8)) }
        #expect(error?.reason == "No space left on device")
    }
}
