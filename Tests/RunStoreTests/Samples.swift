// Records for the tests, with every field set to something that could be lost.

import Cluster
import Foundation
import Rollouts

@testable import RunStore

func digest(_ byte: UInt8) -> Digest { Digest(bytes: [UInt8](repeating: byte, count: 32))! }

func key(_ step: Int, _ ordinal: Int, _ purpose: Purpose = .training) -> GroupKey {
    GroupKey(purpose: purpose, step: step, ordinal: ordinal)
}

func prompt(_ key: GroupKey) -> Prompt {
    Prompt(key: key, tokens: [1, -1, .max, 49151], text: "What is 3 + 2?\u{0} 🦉", answer: "5", source: "add_1digit")
}

func completions(_ count: Int = 2, text: String = "5") -> [Completion] {
    (0..<count).map { index in
        Completion(
            index: index, tokens: [Int32(index), 7, 2], sampledLogProbs: [-0.5, -0.25, -.infinity],
            policyLogProbs: [-1, -2, -.leastNonzeroMagnitude], entropies: [0.5, 0, 3.25],
            versions: [PolicyVersion(3), PolicyVersion(3), PolicyVersion(.max)], text: text + String(index),
            finish: index == 0 ? .stop : .length)
    }
}

func verdicts(_ count: Int = 2) -> [Verdict] {
    (0..<count).map { $0 == 0 ? .right("equal", score: 0.75) : .noVerdict("timed out\nafter 5 s") }
}

func manifest(_ version: UInt64, hash: UInt8 = 0xab, optimizer: Bool = false) -> PolicyManifest {
    PolicyManifest(
        version: PolicyVersion(version), weightsHash: digest(hash),
        weights: BlobReference(digest: digest(1), byteCount: 1_234_567_890_123),
        optimizer: optimizer ? BlobReference(digest: digest(2), byteCount: 42) : nil)
}

func metrics(_ step: Int, reward: Double = 0.5) -> StepMetrics {
    StepMetrics(
        step: step, policyVersion: PolicyVersion(UInt64(step)), weightsHash: digest(0xab),
        values: [.init(name: "reward_mean", value: reward), .init(name: "kl", value: -.infinity)])
}

func trained(_ step: Int, groups: [GroupKey] = [], hash: UInt8 = 0xab, reward: Double = 0.5) -> Cluster.Record {
    .stepTrained(
        metrics(step, reward: reward), manifest: manifest(UInt64(step), hash: hash), groups: groups,
        nextPosition: step * 8)
}

func checkpointed(_ step: Int) -> Cluster.Record {
    .checkpointed(
        Checkpoint(step: step, manifest: manifest(UInt64(step), optimizer: step > 0), nextPosition: step * 8))
}

func evaluation(_ step: Int, right: Int = 3) -> EvaluationReport {
    EvaluationReport(
        step: step, version: PolicyVersion(UInt64(step)), right: right, wrong: 2, noVerdict: 1,
        completionTokensMean: 7.5,
        bySource: [
            .init(source: "max_of_3", right: 1, judged: 2), .init(source: "add_1digit", right: 2, judged: 3),
        ],
        examples: [.init(prompt: "p\u{0}", completion: "c", answer: "a", outcome: .wrong)])
}

/// One of each, in a plausible order.
let everyRecord: [Cluster.Record] = [
    .workerJoined(name: "host-1", host: "host", roles: [.rollout, .learner]),
    .evaluated(evaluation(0)),
    checkpointed(0),
    .completionsAccepted(prompt(key(1, 0)), completions()),
    .completionsAccepted(prompt(key(1, 1)), completions(3, text: "nul \u{0} byte")),
    .verdictsAccepted(key(1, 1), verdicts(3)),
    .verdictsAccepted(key(1, 0), verdicts()),
    .groupDropped(key(1, 1), reason: "all rewards equal"),
    .groupDropped(key(1, 2), reason: "no worker could sample it"),
    trained(1, groups: [key(1, 0)]),
    .completionsAccepted(prompt(key(1, 0, .evaluation)), completions(1)),
    .workerDrained(name: "host-1"),
    .workerLeft(name: "host-1", reason: "goodbye"),
    .evaluated(evaluation(1)),
    checkpointed(1),
    .completionsAccepted(prompt(key(2, 0)), completions()),
    .finished(.failed(step: 1, reason: "no learner")),
]

/// A folder that is removed with the test.
final class Folder {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "run-store-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }  // a leftover temporary folder harms nobody
    var store: String { path + "/run.sqlite" }

    /// What a killed process would leave: the files as they are now, elsewhere, without the lock.
    func copyAsIs() throws -> Folder {
        let copy = try Folder()
        for suffix in ["", "-wal"] where FileManager.default.fileExists(atPath: store + suffix) {
            try FileManager.default.copyItem(atPath: store + suffix, toPath: copy.store + suffix)
        }
        return copy
    }
}
