// Sleeping hosts, more steps afterwards, and one worker that watches another: the result stays what it is.

import Foundation
import Testing

@Suite(.serialized)
struct AbsenceTests {
    private func steps(_ ground: Ground, _ run: String) -> Int {
        let data = FileManager.default.contents(atPath: ground.file(run, "metrics.jsonl")) ?? Data()
        return String(decoding: data, as: UTF8.self).components(separatedBy: "\"weights_hash\"").count - 1
    }

    @Test func `two hosts that sleep longer than the silence limit go on together when they wake`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=30", "--set", "cluster.heartbeat_seconds=0.2"]
        let whole = try ground.run("coordinator", ground.tiny("whole", more))
        #expect(whole.status == 0, "\(whole.errors)")
        let address = "ipc://\(ground.folder.path)/c"
        let slept = more + ["--local", "verifier=1,learner=1", "--listen", address]
        let running = try ground.start("coordinator", ground.tiny("slept", slept))
        let worker = try ground.start("worker", ["join", address, "--role", "rollout", "--threads", "1"])
        try running.wait(within: 60) { steps(ground, "slept") >= 3 || !running.process.isRunning }
        running.signal(SIGSTOP)
        worker.signal(SIGSTOP)
        let stood = steps(ground, "slept")
        let wake = Date() + 3
        try worker.wait(within: 10) { Date() >= wake }
        #expect(steps(ground, "slept") == stood)
        running.signal(SIGCONT)
        worker.signal(SIGCONT)
        #expect(try running.finish(within: 120).status == 0)
        #expect(try worker.finish(within: 60).status == 0)
        #expect(try ground.hashes("slept") == ground.hashes("whole"))
    }

    private static let faketime = "/usr/bin/faketime"

    /// An hour a second for the coordinator and its workers; a worker a day behind them.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: faketime), "faketime is not installed"))
    func `wall clocks that run and jump move no lease`() throws {
        let ground = try Ground()
        #expect(try ground.run("coordinator", ground.tiny("whole")).status == 0)
        let address = "ipc://\(ground.folder.path)/c"
        func faked(_ shift: String, _ program: String, _ arguments: [String]) throws -> Running {
            let command = ["FAKETIME_DONT_FAKE_MONOTONIC=1", Self.faketime, "-f", shift, Ground.program(program).path]
            return try Running(URL(fileURLWithPath: "/usr/bin/env"), command + arguments, in: ground.folder)
        }
        let more = ["--local", "verifier=1,learner=1", "--listen", address]
        let running = try faked("+0 x3600", "coordinator", ground.tiny("jumped", more))
        let worker = try faked("-1d", "worker", ["join", address, "--role", "rollout", "--threads", "1"])
        #expect(try running.finish(within: 120).status == 0)
        #expect(try worker.finish(within: 60).status == 0)
        #expect(try ground.hashes("jumped") == ground.hashes("whole"))
        let log = try String(contentsOfFile: ground.file("jumped", "logs/coordinator.log"), encoding: .utf8)
        #expect(!log.contains("warning"), "\(log)")
    }

    /// As when its coordinator was killed between storing that the run is over and writing its last evaluation down.
    @Test func `a complete run that did not say all it knows says it when it is started again`() throws {
        let ground = try Ground()
        #expect(try ground.run("coordinator", ground.tiny("told", ["--set", "schedule.steps=2"])).status == 0)
        let path = ground.file("told", "metrics.jsonl")
        let told = try String(contentsOfFile: path, encoding: .utf8)
        let lines = told.split(separator: "\n")
        #expect(lines.count > 3)
        try lines.dropLast().map { $0 + "\n" }.joined().write(toFile: path, atomically: true, encoding: .utf8)
        for _ in 0..<2 {
            let again = try ground.run("coordinator", ground.tiny("told", ["--set", "schedule.steps=2", "--resume"]))
            #expect(again.status == 0 && again.output.contains("is complete"), "\(again.output) \(again.errors)")
            #expect(try String(contentsOfFile: path, encoding: .utf8) == told)
        }
    }

    @Test func `a complete run goes on when it is given more steps, and refuses other changes`() throws {
        let ground = try Ground()
        #expect(try ground.run("coordinator", ground.tiny("more", ["--set", "schedule.steps=4"])).status == 0)
        let again = try ground.run("coordinator", ground.tiny("more", ["--set", "schedule.steps=4", "--resume"]))
        #expect(again.status == 0 && again.output.contains("is complete"), "\(again.output) \(again.errors)")
        let other = ["--set", "schedule.steps=8", "--set", "rollout.group_size=8", "--resume"]
        let refused = try ground.run("coordinator", ground.tiny("more", other))
        #expect(refused.status == 1 && refused.errors.contains("expected `group_size: 4`, found `group_size: 8`"))
        #expect(refused.errors.split(separator: "\n").count == 1, "\(refused.errors)")
        let extended = try ground.run("coordinator", ground.tiny("more", ["--set", "schedule.steps=8", "--resume"]))
        #expect(extended.status == 0, "\(extended.errors)")
        #expect(try ground.run("coordinator", ground.tiny("whole", ["--set", "schedule.steps=8"])).status == 0)
        #expect(try ground.hashes("more") == ground.hashes("whole"))
    }

    @Test func `honest workers pass every spot check, and the result is the same`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=12", "--local", "rollout=2,verifier=1,learner=1"]
        #expect(try ground.run("coordinator", ground.tiny("plain", more)).status == 0)
        let checked = try ground.run("coordinator", ground.tiny("checked", more + ["--set", "cluster.spot_check=1"]))
        #expect(checked.status == 0, "\(checked.errors)")
        #expect(try ground.hashes("checked") == ground.hashes("plain"))
        let log = try String(contentsOfFile: ground.file("checked", "logs/coordinator.log"), encoding: .utf8)
        #expect(!log.contains("otherwise than"), "\(log)")
        let data = try #require(FileManager.default.contents(atPath: ground.file("checked", "status.json")))
        let status = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect((status["spot_checks"] as? Int ?? 0) > 0)
    }
}
