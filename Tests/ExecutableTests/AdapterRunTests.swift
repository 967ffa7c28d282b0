// Whole runs that train adapters, with little memory, through the real programs.

import Foundation
import Testing

@Suite(.serialized)
struct AdapterRunTests {
    private let more = [
        "--set", "lora.rank=4", "--set", "optimizer.state=8bit", "--set", "optimizer.recompute=blocks",
        "--set", "optimizer.learning_rate=1e-2",
        // Random weights are rarely right: so that every step has a gradient.
        "--set", "algorithm.entropy_coefficient=0.01",
    ]

    @Test func `adapters give the same weights with two samplers and after an interruption`() throws {
        let ground = try Ground()
        let long = more + ["--set", "schedule.steps=20", "--set", "evaluation.every_steps=0"]
        let whole = try ground.run("coordinator", ground.tiny("whole", long))
        #expect(whole.status == 0, "\(whole.errors)")
        let hashes = try ground.hashes("whole")
        #expect(hashes.count == 20 && Set(hashes.map { $0.split(separator: " ")[1] }).count == 20)
        let ratios = try ground.metrics("whole").compactMap { $0["importance_ratio_max"] as? Double }
        #expect(ratios.count == 20 && ratios.allSatisfy { $0 == 1 })

        let first = try ground.start(
            "coordinator", ground.tiny("interrupted", long + ["--local", "rollout=2,verifier=1,learner=1"]))
        try first.wait(within: 120) {
            FileManager.default.fileExists(atPath: ground.file("interrupted", "checkpoints/step-000003/checkpoint.json"))
        }
        first.signal(SIGINT)
        #expect(try first.finish(within: 60).status == 2)
        let resumed = try ground.run("coordinator", ground.tiny("interrupted", long + ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try ground.hashes("interrupted") == hashes)
    }

    @Test func `a run of adapters is sampled, scored and exported with and without its base`() throws {
        let ground = try Ground()
        // Sampling that lags and a frozen reference make three sets of weights of one base.
        let lagging = ["--set", "schedule.lag=1", "--set", "algorithm.kl_coefficient=0.1"]
        let run = try ground.run("coordinator", ground.tiny("adapters", more + lagging))
        #expect(run.status == 0, "\(run.errors)")
        let checkpoint = ground.file("adapters", "checkpoints/step-000006/")
        func size(_ path: String) throws -> Int {
            try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        }
        #expect(try size(checkpoint + "weights.safetensors") < size(checkpoint + "base.safetensors") / 4)

        let texts = ground.folder.appendingPathComponent("texts.jsonl")
        try Data("{\"text\": \"What is 3 + 4?\"}\n".utf8).write(to: texts)
        func command(_ arguments: [String]) throws -> String {
            let result = try ground.run("coordinator", arguments + ["--runs", ground.runs])
            #expect(result.status == 0, "\(arguments): \(result.errors)")
            return result.output
        }
        let merged = ground.folder.appendingPathComponent("merged").path
        let adapters = ground.folder.appendingPathComponent("peft").path
        _ = try command(["export", "adapters", "--format", "safetensors", "--merge", "--output", merged])
        #expect(run.output.contains("export adapters --format safetensors"))
        let said = try command(["export", "adapters", "--format", "safetensors", "--output", adapters])
        #expect(said.contains("PEFT"))
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: adapters).filter { $0.hasPrefix("adapter_") }.sorted()
                == ["adapter_config.json", "adapter_model.safetensors"])
        let scored = try command(["score", "adapters", "--data", texts.path])
        #expect(try command(["score", merged, "--data", texts.path]) == scored && scored.contains("log_probs"))
        for (arguments, word) in [
            (["export", "adapters", "--format", "gguf"], "--merge"),
            (["export", merged, "--format", "gguf", "--merge"], "no adapters"),
        ] {
            let refused = try ground.run("coordinator", arguments + ["--runs", ground.runs])
            #expect(refused.status != 0 && refused.errors.contains(word))
        }
        let file = ground.folder.appendingPathComponent("m.gguf").path
        _ = try command(["export", "adapters", "--format", "gguf", "--merge", "--output", file])
        #expect(try command(["score", file, "--data", texts.path]) == scored)
    }
}
