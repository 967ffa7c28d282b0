// Several learners share each step's gradient, through the real programs: the same bits, however many there are.

import Foundation
import Testing

@Suite(.serialized)
struct SharedGradientTests {
    private static let recipe = [
        "--set", "optimizer.shards=4", "--set", "rollout.prompts_per_step=6",
        // Random weights are rarely right: so that every step has a gradient.
        "--set", "algorithm.entropy_coefficient=0.01", "--set", "evaluation.every_steps=0",
    ]

    /// metrics.jsonl without what depends on time and on the number of workers.
    private func numbers(_ ground: Ground, _ run: String) throws -> [[String: String]] {
        try ground.metrics(run).map { row in
            row.filter { key, _ in
                !key.hasPrefix("seconds") && !key.hasSuffix("per_second") && !["workers", "learners", "time"].contains(key)
            }.mapValues { "\($0)" }
        }
    }

    private func complete(_ ground: Ground, _ name: String, _ more: [String]) throws {
        let ended = try ground.run("coordinator", ground.tiny(name, Self.recipe + more))
        #expect(ended.status == 0, "\(ended.errors)")
        let log = try String(contentsOfFile: ground.file(name, "logs/coordinator.log"), encoding: .utf8)
        #expect(!log.contains("could not") && !log.contains("failed"), "\(log)")
    }

    @Test(arguments: [[], ["--set", "lora.rank=4"], ["--set", "algorithm.kl_coefficient=0.1"]])
    func `one, two and four learners make the same weights and metrics`(_ more: [String]) throws {
        let ground = try Ground()
        try complete(ground, "one", more)
        let expected = try numbers(ground, "one")
        #expect(Set(try ground.hashes("one")).count == 6)
        for (name, count) in [("two", 2), ("four", 4)] {
            try complete(ground, name, more + ["--local", "rollout=1,verifier=1,learner=\(count)"])
            #expect(try numbers(ground, name) == expected, "\(name)")
            #expect(try ground.metrics(name).contains { ($0["learners"] as? Double ?? 1) > 1 })
            #expect(!FileManager.default.fileExists(atPath: ground.file(name, "blobs")))
        }
        // Another cut of the same batches is another sum.
        try complete(ground, "uncut", more + ["--set", "optimizer.shards=1"])
        #expect(try ground.hashes("uncut") != ground.hashes("one"))
    }

    /// A process of another user cannot write into the run's folder: as if it were on another host.
    @Test(.enabled(if: getuid() == 0, "becoming another user takes root"))
    func `a learner that does not see the run's folder hands its parts in over the socket`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=60"]
        try complete(ground, "alone", more)
        let address = "tcp://127.0.0.1:\(UInt16.random(in: 20_000...50_000))"
        let head = try ground.start(
            "coordinator", ground.tiny("apart", Self.recipe + more + ["--listen", address]))
        let helper = try Running(
            URL(fileURLWithPath: "/usr/bin/setpriv"),
            ["--reuid=65534", "--regid=65534", "--clear-groups", Ground.program("worker").path]
                + ["join", address, "--role", "learner", "--threads", "1"],
            in: ground.folder)
        let ended = try head.finish(within: 120)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ground.hashes("apart") == ground.hashes("alone"))
        #expect(try ground.metrics("apart").contains { $0["learners"] as? Double == 2 })
        let log = try String(contentsOfFile: ground.file("apart", "logs/coordinator.log"), encoding: .utf8)
        #expect(!log.contains("could not"), "\(log)")
        #expect(try helper.finish(within: 60).status == 0)
    }

    @Test func `killed learners, the leading one or a helping one, change nothing`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=24", "--set", "checkpoint.every_steps=5"]
        try complete(ground, "whole", more)
        let address = "ipc://\(ground.folder.path)/l"
        let head = try ground.start(
            "coordinator",
            ground.tiny(
                "killed", Self.recipe + more + ["--listen", address, "--local", "rollout=1,verifier=1,learner=1"]))
        var learners: [Running] = []
        func join() throws {
            learners.append(try ground.start("worker", ["join", address, "--role", "learner", "--threads", "1"]))
        }
        try join()
        try join()
        for (steps, victim) in [(3, 0), (8, 1), (13, 2)] {
            try head.wait(within: 120) {
                ((try? ground.hashes("killed").count) ?? 0) >= steps || !head.process.isRunning
            }
            learners[victim].signal(SIGKILL)
            if victim == 0 { try join() }
        }
        let ended = try head.finish(within: 240)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try numbers(ground, "killed") == numbers(ground, "whole"))
    }
}
