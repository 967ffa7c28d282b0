// Two runs' metrics: what must be equal, and what is measured.

import FaultInjection
import Foundation
import Testing

/// Metrics files in a folder that goes with it.
final class MetricsGround {
    private let folder: URL

    init() throws {
        folder = URL(fileURLWithPath: NSTemporaryDirectory())
            .appendingPathComponent("rk-\(UInt32.random(in: 0 ..< .max))", isDirectory: true)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String, _ lines: [String]) throws -> String {
        let file = folder.appendingPathComponent(name)
        try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: file)
        return file.path
    }

    func record(_ name: String, _ lines: [String]) throws -> RunRecord {
        try RunRecord(path: try path(name, lines))
    }
}

@Suite struct RunRecordTests {
    private func step(_ number: Int, reward: Double = 0.5, seconds: Double = 1, hash: String = "aa") -> String {
        "{\"step\":\(number),\"reward_mean\":\(reward),\"seconds_learn\":\(seconds),\"workers\":\(Int(seconds)),"
            + "\"learn_tokens_per_second\":\(seconds),\"weights_hash\":\"\(hash)\"}"
    }
    private func evaluation(_ step: Int, right: Int) -> String { "{\"step\":\(step),\"heldout_right\":\(right)}" }

    @Test func `measured times may differ, and evaluations may come before or after a step's line`() throws {
        let ground = try MetricsGround()
        let one = try ground.record("one", [evaluation(0, right: 3), step(1), step(2), evaluation(1, right: 4)])
        let two = try ground.record(
            "two", [evaluation(0, right: 3), step(1, seconds: 7), evaluation(1, right: 4), step(2, seconds: 9)])
        #expect(one.difference(from: two) == nil)
        #expect(one.steps == [1, 2] && one.lastHash == "aa")
    }

    @Test func `every other number, a missing line and a repeated one are a difference`() throws {
        let ground = try MetricsGround()
        let one = try ground.record("one", [evaluation(0, right: 3), step(1), step(2)])
        for (lines, difference) in [
            ([evaluation(0, right: 3), step(1, reward: 0.25), step(2)], "step 1, reward_mean: 0.5 and 0.25"),
            ([evaluation(0, right: 3), step(1), step(2, hash: "ab")], "step 2, weights_hash: aa and ab"),
            ([evaluation(0, right: 2), step(1), step(2)], "the evaluation after step 0, heldout_right: 3 and 2"),
            ([step(1), step(2)], "1 and 0 evaluations"), ([evaluation(0, right: 3), step(1)], "2 and 1 steps"),
            ([evaluation(0, right: 3), step(1), step(1)], "step 2 stands where the other has step 1"),
        ] {
            #expect(one.difference(from: try ground.record("other", lines)) == difference)
        }
    }

    @Test func `a file that is not there has no steps, and one being written tells its newest whole step`() throws {
        let ground = try MetricsGround()
        #expect(try RunRecord(path: "/nowhere/metrics.jsonl").steps.isEmpty)
        #expect(RunRecord.newestStep(path: "/nowhere/metrics.jsonl") == 0)
        let half = try ground.path("half", [step(1), step(2), evaluation(2, right: 1), "{\"step\":3,\"rew"])
        #expect(RunRecord.newestStep(path: half) == 2)
        #expect(throws: FaultInjectionError.self) { try RunRecord(path: half) }
    }
}
