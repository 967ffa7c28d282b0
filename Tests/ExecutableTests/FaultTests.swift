// Real programs through damage, loss and reunion, and what a run leaves behind.

import Foundation
import Testing

@Suite(.serialized)
struct FaultTests {
    private static let long = ["--set", "schedule.steps=30", "--set", "checkpoint.every_steps=7"]

    private func complete(_ ground: Ground, _ name: String, _ more: [String]) throws -> [String] {
        let ended = try ground.run("coordinator", ground.tiny(name, more))
        #expect(ended.status == 0, "\(ended.errors)")
        return try ground.hashes(name)
    }

    private func waitForSteps(_ count: Int, of name: String, _ running: Running, _ ground: Ground) throws {
        try running.wait(within: 60) {
            let data = FileManager.default.contents(atPath: ground.file(name, "metrics.jsonl")) ?? Data()
            let text = String(decoding: data, as: UTF8.self)
            return text.components(separatedBy: "\"weights_hash\"").count > count || !running.process.isRunning
        }
    }

    private func names(_ ground: Ground, _ run: String, _ folder: String = "") -> [String] {
        // A folder that is not there has no names.
        ((try? FileManager.default.contentsOfDirectory(atPath: ground.file(run, folder))) ?? []).sorted()
    }

    @Test func `a complete run leaves its files and nothing else, with a checkpoint of its last step`() throws {
        let ground = try Ground()
        let ended = try ground.run("coordinator", ground.tiny("five", ["--set", "schedule.steps=5"]))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(
            names(ground, "five") == [
                "checkpoints", "logs", "metrics.jsonl", "recipe.yaml", "run.sqlite", "run.sqlite.lock", "status.json",
                "tensorboard",
            ])
        #expect(names(ground, "five", "checkpoints") == ["step-000003", "step-000005"])
        #expect(ended.output.contains("/coordinator sample five --runs \(ground.runs)"), "\(ended.output)")
    }

    @Test func `blobs stay few however rare checkpoints are`() throws {
        let ground = try Ground()
        let more = [
            "--set", "schedule.steps=400", "--set", "checkpoint.every_steps=0", "--set", "evaluation.every_steps=0",
        ]
        let running = try ground.start("coordinator", ground.tiny("rare", more))
        try waitForSteps(25, of: "rare", running, ground)
        // Bundle, base, the newest three, one being written, the proof.
        #expect(names(ground, "rare", "blobs").count <= 8)
        running.signal(SIGINT)
        let stopped = try running.finish(within: 60)
        #expect(stopped.status == 2, "\(stopped.output.suffix(200)) \(stopped.errors)")
        #expect(!names(ground, "rare", "blobs").contains { $0.hasPrefix(".") })
        #expect(!names(ground, "rare").contains { $0.hasSuffix(".sock") })
    }

    @Test func `a damaged newest checkpoint is named and the one before it is used`() throws {
        let ground = try Ground()
        let expected = try complete(ground, "whole", Self.long)
        let running = try ground.start("coordinator", ground.tiny("damaged", Self.long))
        try waitForSteps(15, of: "damaged", running, ground)
        running.signal(SIGKILL)
        _ = try running.finish(within: 60)
        let checkpoints = names(ground, "damaged", "checkpoints").filter { $0.hasPrefix("step-") }
        #expect(checkpoints.count == 2)
        let newest = try #require(checkpoints.last)
        let file = ground.file("damaged", "checkpoints/\(newest)/weights.safetensors")
        var bytes = try #require(FileManager.default.contents(atPath: file))
        bytes[bytes.count - 5] ^= 0x40
        try bytes.write(to: URL(fileURLWithPath: file))
        let resumed = try ground.run("coordinator", ground.tiny("damaged", Self.long + ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(resumed.errors.contains("\(newest)/weights.safetensors"), "\(resumed.errors)")
        #expect(try ground.hashes("damaged") == expected)
    }

    @Test(arguments: ["loss", "reward"]) func `a KL term survives a killed coordinator`(placement: String) throws {
        let ground = try Ground()
        let more =
            Self.long + ["--set", "algorithm.kl_coefficient=0.1", "--set", "algorithm.kl_placement=\(placement)"]
        let expected = try complete(ground, "whole", more)
        let running = try ground.start("coordinator", ground.tiny("cut", more))
        try waitForSteps(9, of: "cut", running, ground)
        running.signal(SIGKILL)
        _ = try running.finish(within: 60)
        let resumed = try ground.run("coordinator", ground.tiny("cut", more + ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try ground.hashes("cut") == expected)
    }

    @Test func `a worker outlives its coordinator and works for the resumed one`() throws {
        let ground = try Ground()
        let expected = try complete(ground, "whole", Self.long)
        let address = "ipc://\(ground.folder.path)/c"
        let more = Self.long + ["--local", "verifier=1,learner=1", "--listen", address]
        let running = try ground.start("coordinator", ground.tiny("back", more))
        let worker = try ground.start("worker", ["join", address, "--role", "rollout", "--threads", "1"])
        try waitForSteps(3, of: "back", running, ground)
        running.signal(SIGKILL)
        _ = try running.finish(within: 60)
        let resumed = try ground.run("coordinator", ground.tiny("back", more + ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try ground.hashes("back") == expected)
        let left = try worker.finish(within: 60)
        #expect(left.status == 0 && left.errors.contains("the run is complete"), "\(left.errors)")
    }

    @Test func `what was stored and not yet said when the coordinator died is said when it goes on`() throws {
        let ground = try Ground()
        let more = Self.long + ["--set", "checkpoint.every_steps=2", "--set", "evaluation.every_steps=2"]
        let expected = try complete(ground, "whole", more)
        let running = try ground.start("coordinator", ground.tiny("unsaid", more))
        try waitForSteps(9, of: "unsaid", running, ground)
        running.signal(SIGKILL)
        _ = try running.finish(within: 60)
        // As if it had died before it wrote these lines: the store, which is written first, has them.
        let file = ground.file("unsaid", "metrics.jsonl")
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        let said = lines.prefix { !$0.hasPrefix("{\"step\":6,") }
        #expect(said.count < lines.count)
        try Data(said.map { $0 + "\n" }.joined().utf8).write(to: URL(fileURLWithPath: file))
        let resumed = try ground.run("coordinator", ground.tiny("unsaid", more + ["--resume"]))
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try ground.hashes("unsaid") == expected)
        func evaluations(_ run: String) throws -> [Int] {
            try ground.metrics(run).filter { $0["heldout_accuracy"] != nil }.compactMap { $0["step"] as? Int }
        }
        #expect(try evaluations("unsaid") == evaluations("whole"))
    }

    @Test func `a local worker whose coordinator died before it could look leaves by itself`() throws {
        let ground = try Ground()
        // Started by this process, told of another: as it is when the one that started it is gone already.
        let worker = try ground.start(
            "worker",
            ["join", "ipc://\(ground.folder.path)/c", "--role", "rollout", "--threads", "1", "--coordinator", "1"])
        let left = try worker.finish(within: 60)
        #expect(left.status == 0 && left.errors.contains("the coordinator's process is gone"), "\(left.errors)")
    }

    @Test(.enabled(if: getuid() == 0, "mounting a small disk takes root"))
    func `a full disk stops the run with one line that says so, and with more room it goes on`() throws {
        let ground = try Ground()
        let disk = ground.folder.appendingPathComponent("disk").path
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
        let mount = try shell("mount -t tmpfs -o size=3m tmpfs '\(disk)'")
        guard mount == 0 else { return print("skipped: a tmpfs cannot be mounted here") }
        defer { #expect((try? shell("umount '\(disk)'")) == 0) }
        let recipe = Ground.root.appendingPathComponent("cluster/recipes/tiny.yaml").path
        let ended = try ground.run(
            "coordinator", ["start", recipe, "--runs", disk, "--plain", "--set", "checkpoint.every_steps=1"])
        #expect(ended.status == 1)
        let lines = ended.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
        #expect(lines.count == 1 && lines.first?.contains("free space") == true, "\(ended.errors)")
        #expect(try shell("mount -o remount,size=64m '\(disk)'") == 0)
        let more = ["--set", "checkpoint.every_steps=1"]
        let resumed = try ground.run("coordinator", ["start", recipe, "--runs", disk, "--plain", "--resume"] + more)
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try ground.run("coordinator", ground.tiny("whole", more)).status == 0)
        func last(_ path: String) throws -> Substring? {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            return text.components(separatedBy: "\"weights_hash\":\"").last?.prefix(64)
        }
        #expect(try last("\(disk)/tiny/metrics.jsonl") == last(ground.file("whole", "metrics.jsonl")))
    }

    private func shell(_ command: String) throws -> Int32 {
        let process = try Process.run(URL(fileURLWithPath: "/bin/sh"), arguments: ["-c", command])
        process.waitUntilExit()
        return process.terminationStatus
    }
}
