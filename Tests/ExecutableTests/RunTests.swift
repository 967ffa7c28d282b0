// Whole runs of the tiny recipe through the real programs: the same bits, whoever works and whoever dies.

import Foundation
import Testing

@Suite(.serialized)
struct RunTests {
    @Test func `a run ends with its files, every metric, and the same weights with two rollout workers`() throws {
        let ground = try Ground()
        let one = try ground.run("coordinator", ground.tiny("one"))
        #expect(one.status == 0, "\(one.errors)")
        #expect(one.output.contains("Held-out accuracy"))
        for name in ["recipe.yaml", "metrics.jsonl", "run.sqlite", "checkpoints/step-000006/checkpoint.json", "logs"] {
            #expect(FileManager.default.fileExists(atPath: ground.file("one", name)), "\(name) is missing")
        }
        let keys = [
            "step", "policy_version", "reward_mean", "reward_std", "accuracy", "completion_tokens_mean",
            "truncated_share", "kl_mean", "importance_ratio_max", "clip_share", "entropy_mean", "gradient_norm",
            "learning_rate", "rollout_tokens_per_second", "learn_tokens_per_second", "seconds_rollout",
            "seconds_verify", "seconds_learn", "seconds_publish", "staleness_max", "no_verdict_count", "weights_hash",
        ]
        let rows = try ground.metrics("one")
        let steps = rows.filter { $0["reward_mean"] != nil }
        #expect(steps.count == 6)
        for key in keys { #expect(steps.allSatisfy { $0[key] != nil }, "\(key) is missing") }
        #expect(rows.filter { $0["heldout_accuracy"] != nil }.count == 3)

        let two = try ground.run("coordinator", ground.tiny("two", ["--local", "rollout=2,verifier=1,learner=1"]))
        #expect(two.status == 0, "\(two.errors)")
        #expect(try ground.hashes("two") == ground.hashes("one"))
        // Work that comes while the model is still on its way waits for it; it costs no attempt.
        for run in ["one", "two"] {
            let log = try String(contentsOfFile: ground.file(run, "logs/coordinator.log"), encoding: .utf8)
            #expect(!log.contains("could not"), "\(log)")
        }
        let again = try ground.run("coordinator", ground.tiny("one"))
        #expect(again.status == 0 && again.output.contains("complete"))
    }

    /// Written down on a processor with AVX2 and no AVX-512; sampling, learning from a lagging policy and a KL term
    /// included. Whoever changes the arithmetic, the random numbers or the recipe on purpose writes down the new one.
    @Test(arguments: [nil, "scalar"])
    func `the weights of 24 steps are those of every other machine`(kernel: String?) throws {
        let ground = try Ground()
        let options = [
            "schedule.steps=24", "schedule.lag=1", "algorithm.kl_coefficient=0.01", "evaluation.every_steps=0",
        ]
        let run = try ground.start(
            "coordinator", ground.tiny("fixed", options.flatMap { ["--set", $0] }),
            environment: kernel.map { ["ROOKERY_KERNEL": $0] } ?? [:]
        ).finish(within: 240)
        #expect(run.status == 0, "\(run.errors)")
        #expect(
            try ground.hashes("fixed").last
                == "24 d7db9fcd8b2b79d7f51fcc70675174daef5350ec0fb4c695e79316ba4b19f99c")
    }

    @Test func `an interrupted and a killed coordinator resume to the uninterrupted run's weights`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=20", "--set", "evaluation.every_steps=0"]
        let whole = try ground.run("coordinator", ground.tiny("whole", more))
        #expect(whole.status == 0, "\(whole.errors)")
        for (name, number) in [("interrupted", SIGINT), ("killed", SIGKILL)] {
            let first = try ground.start("coordinator", ground.tiny(name, more))
            try first.wait(within: 120) {
                FileManager.default.fileExists(atPath: ground.file(name, "checkpoints/step-000003/checkpoint.json"))
            }
            first.signal(number)
            let stopped = try first.finish(within: 60)
            if number == SIGINT { #expect(stopped.status == 2, "\(stopped.errors)") }
            let resumed = try ground.run("coordinator", ground.tiny(name, more + ["--resume"]))
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try ground.hashes(name) == ground.hashes("whole"))
        }
    }

    @Test func `a worker joined by hand takes work, and killed with SIGKILL the run ends with the same weights`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=30", "--set", "evaluation.every_steps=0"]
        #expect(try ground.run("coordinator", ground.tiny("alone", more)).status == 0)
        let address = "ipc://\(ground.folder.path)/join"
        let head = try ground.start(
            "coordinator",
            ground.tiny("joined", more + ["--listen", address, "--local", "verifier=1,learner=1"]))
        let first = try ground.start("worker", ["join", address, "--role", "rollout", "--threads", "1"])
        let second = try ground.start("worker", ["join", address, "--role", "rollout", "--threads", "1"])
        try head.wait(within: 120) { ((try? ground.hashes("joined").count) ?? 0) >= 2 }
        first.signal(SIGKILL)
        let ended = try head.finish(within: 240)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ground.hashes("joined") == ground.hashes("alone"))
        #expect(try second.finish(within: 60).status == 0)
    }

    @Test(arguments: [0, 1]) func `one, two and five rollout workers make the same weights`(lag: Int) throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=12", "--set", "schedule.lag=\(lag)"]
        var hashes: [[String]] = []
        for count in [1, 2, 5] {
            let name = "rollout-\(count)"
            let run = try ground.run(
                "coordinator", ground.tiny(name, more + ["--local", "rollout=\(count),verifier=1,learner=1"]))
            #expect(run.status == 0, "\(run.errors)")
            hashes.append(try ground.hashes(name))
        }
        #expect(hashes[0].count == 12 && hashes[1] == hashes[0] && hashes[2] == hashes[0])
    }

    @Test func `a KL term runs in the loss and in the reward`() throws {
        let ground = try Ground()
        for placement in ["loss", "reward"] {
            let result = try ground.run(
                "coordinator",
                ground.tiny(
                    placement,
                    ["--set", "algorithm.kl_coefficient=0.1", "--set", "algorithm.kl_placement=\(placement)"]))
            #expect(result.status == 0, "\(result.errors)")
            #expect(try ground.hashes(placement).count == 6)
        }
        #expect(try ground.hashes("loss") != ground.hashes("reward"))
    }
}
