// Weights that change between tokens, through the real programs: the run completes within its staleness bound.

import Foundation
import Testing

@Suite(.serialized)
struct InflightTests {
    private static let recipe = [
        "--set", "schedule.inflight=true", "--set", "schedule.steps=20", "--set", "evaluation.every_steps=10",
        "--set", "rollout.max_new_tokens=32", "--set", "algorithm.entropy_coefficient=0.01",
        "--local", "rollout=2,verifier=1,learner=1",
    ]

    private func numbers(_ ground: Ground, _ run: String, _ name: String) throws -> [Double] {
        try ground.metrics(run).compactMap { $0[name] as? Double }
    }

    @Test func `a run in flight says so, is never staler than its bound, and learns from other policies' tokens`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.max_staleness_versions=2", "--set", "algorithm.importance_cap=2"]
        let ended = try ground.run("coordinator", ground.tiny("inflight", Self.recipe + more))
        #expect(ended.status == 0, "\(ended.errors)")
        let stalest = try numbers(ground, "inflight", "staleness_max")
        let means = try numbers(ground, "inflight", "staleness_mean")
        #expect(stalest.count == 20 && means.count == 20)
        #expect(stalest.allSatisfy { $0 <= 2 } && stalest.contains { $0 > 0 })
        #expect(zip(means, stalest).allSatisfy { $0 <= $1 })
        #expect(try numbers(ground, "inflight", "importance_ratio_max").contains { $0 != 1 })
        #expect(try ground.metrics("inflight").filter { $0["heldout_accuracy"] != nil }.count == 3)
        let log = try String(contentsOfFile: ground.file("inflight", "logs/coordinator.log"), encoding: .utf8)
        #expect(log.contains("is not the same bits"), "\(log)")
        #expect(!log.contains("could not") && !log.contains("unusabl"), "\(log)")
    }

    @Test func `a run in flight goes on after its coordinator was killed`() throws {
        let ground = try Ground()
        let first = try ground.start("coordinator", ground.tiny("killed", Self.recipe))
        try first.wait(within: 120) {
            FileManager.default.fileExists(atPath: ground.file("killed", "checkpoints/step-000006/checkpoint.json"))
                || !first.process.isRunning
        }
        first.signal(SIGKILL)
        _ = try first.finish(within: 60)
        let resumed = try ground.run("coordinator", ground.tiny("killed", Self.recipe + ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.errors)")
        let steps = try ground.metrics("killed").compactMap { $0["weights_hash"] == nil ? nil : $0["step"] as? Int }
        #expect(steps == Array(1...20))
        #expect(try numbers(ground, "killed", "staleness_max").allSatisfy { $0 <= 2 })
    }
}
