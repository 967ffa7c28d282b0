// A person at the controls of a running run: pause, resume, drain, stop. The result is that of an undisturbed run.

import Foundation
import Testing

@Suite(.serialized)
struct OperateTests {
    private static let long = ["--set", "schedule.steps=80", "--set", "checkpoint.every_steps=13"]

    private func command(_ ground: Ground, _ arguments: [String]) throws -> Finished {
        try ground.run("coordinator", arguments + ["--runs", ground.runs])
    }

    private func status(_ ground: Ground, _ run: String) throws -> [String: Any] {
        let status = try command(ground, ["status", run, "--json"])
        return try #require(JSONSerialization.jsonObject(with: Data(status.output.utf8)) as? [String: Any])
    }

    private func steps(_ ground: Ground, _ run: String) -> Int {
        let data = FileManager.default.contents(atPath: ground.file(run, "metrics.jsonl")) ?? Data()
        return String(decoding: data, as: UTF8.self).components(separatedBy: "\"weights_hash\"").count - 1
    }

    /// Names of workers with this role, as the status says them.
    private func workers(_ ground: Ground, _ run: String, _ role: String) throws -> [String] {
        let workers = try status(ground, run)["workers"] as? [[String: Any]] ?? []
        return workers.filter { ($0["roles"] as? [String])?.contains(role) == true }
            .compactMap { $0["name"] as? String }
    }

    @Test func `pausing, draining and stopping a run change nothing of its result`() throws {
        let ground = try Ground()
        let whole = try ground.run("coordinator", ground.tiny("whole", Self.long))
        #expect(whole.status == 0, "\(whole.errors)")
        let expected = try ground.hashes("whole")

        let address = "ipc://\(ground.folder.path)/c"
        let more = Self.long + ["--local", "rollout=1,verifier=1,learner=1", "--listen", address]
        let running = try ground.start("coordinator", ground.tiny("asked", more))
        let joined = try ground.start("worker", ["join", address, "--role", "rollout,learner", "--threads", "1"])
        try running.wait(within: 60) { steps(ground, "asked") >= 3 || !running.process.isRunning }

        let paused = try command(ground, ["pause", "asked", "--reason", "the room is too warm"])
        #expect(paused.status == 0 && paused.output.contains("paused after step"), "\(paused.output) \(paused.errors)")
        try running.wait(within: 20) {
            ((try? status(ground, "asked"))?["phase"] as? String)?.contains("the room is too warm") == true
        }
        let stood = steps(ground, "asked")
        let again = try command(ground, ["pause", "asked"])
        #expect(again.status == 0 && again.output.contains("already"), "\(again.output) \(again.errors)")
        let log = try String(contentsOfFile: ground.file("asked", "logs/coordinator.log"), encoding: .utf8)
        #expect(log.contains("paused: on request: the room is too warm"))
        // The step in flight may have ended since; none after it has begun.
        #expect(steps(ground, "asked") <= stood + 1)

        // The local rollout worker leaves and is not started again; then the local learner, whose state goes on.
        func isLocal(_ name: String) -> Bool { !name.contains("-\(joined.process.processIdentifier)-") }
        let others = try workers(ground, "asked", "rollout")
        let local = try #require(others.first(where: isLocal))
        let drained = try command(ground, ["drain", "asked", local])
        #expect(drained.status == 0 && drained.output.contains("no new work"), "\(drained.output) \(drained.errors)")
        #expect(others.count == 2)
        try running.wait(within: 30) {
            ((try? workers(ground, "asked", "rollout")) ?? others) == others.filter { $0 != local }
        }
        let learner = try #require(try workers(ground, "asked", "learner").first(where: isLocal))
        #expect(try command(ground, ["drain", "asked", learner]).status == 0)
        try running.wait(within: 30) {
            guard let names = try? workers(ground, "asked", "learner") else { return false }
            return !names.contains(learner)
        }
        let unknown = try command(ground, ["drain", "asked", "nobody"])
        #expect(unknown.status == 1 && unknown.errors.contains("no worker `nobody`"), "\(unknown.errors)")

        let resumed = try command(ground, ["resume", "asked"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        let idle = try command(ground, ["resume", "asked"])
        #expect(idle.status == 1 && idle.errors.contains("not paused"), "\(idle.errors)")

        let stopped = try command(ground, ["stop", "asked"])
        #expect(stopped.status == 0, "\(stopped.errors)")
        #expect(stopped.output.contains("--resume goes on"), "\(stopped.output)")
        #expect(try running.finish(within: 10).status == 2)
        let left = try joined.finish(within: 60)
        #expect(left.status == 0, "\(left.errors)")
        let text = try String(contentsOfFile: ground.file("asked", "logs/coordinator.log"), encoding: .utf8)
        #expect(!text.contains("is started again"), "\(text)")
        #expect(!text.contains("is lost; going back"), "\(text)")

        let late = try command(ground, ["pause", "asked"])
        #expect(late.status == 1 && late.errors.contains("not running: stopped after step"), "\(late.errors)")
        #expect(late.errors.split(separator: "\n").count == 1)
        let ended = try ground.run("coordinator", ground.tiny("asked", Self.long + ["--resume"]))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ground.hashes("asked") == expected)
        #expect(!FileManager.default.fileExists(atPath: ground.file("asked", "requests")))
    }

    @Test func `a drain outlives the coordinator, and a worker started by hand takes it back`() throws {
        let ground = try Ground()
        let address = "ipc://\(ground.folder.path)/c"
        let more = ["--set", "schedule.steps=4000", "--set", "evaluation.every_steps=0", "--listen", address]
        // A worker that stands still is not given up meanwhile; after as long it gives up the coordinator that is gone.
        let patient = ["--set", "cluster.heartbeats_missed=20", "--set", "cluster.lease_seconds=20"]
        let first = try ground.start("coordinator", ground.tiny("kept", more + patient))
        let join = ["join", address, "--role", "rollout", "--threads", "1"]
        let joined = try ground.start("worker", join)
        func isMine(_ name: String) -> Bool { name.contains("-\(joined.process.processIdentifier)-") }
        try first.wait(within: 60) {
            steps(ground, "kept") >= 2 && (try? workers(ground, "kept", "rollout"))?.contains(where: isMine) == true
        }
        // It cannot leave before the coordinator is gone.
        joined.signal(SIGSTOP)
        let name = try #require(try workers(ground, "kept", "rollout").first(where: isMine))
        let drained = try command(ground, ["drain", "kept", name])
        #expect(drained.status == 0 && drained.output.contains("no new work"), "\(drained.output) \(drained.errors)")
        first.signal(SIGKILL)
        #expect(try first.finish(within: 10).status == SIGKILL)

        let stood = steps(ground, "kept")
        let second = try ground.start("coordinator", ground.tiny("kept", more + ["--resume"]))
        joined.signal(SIGCONT)
        let left = try joined.finish(within: 120)
        #expect(left.status == 0 && left.errors.contains("drained by the operator"), "\(left.errors)")
        try second.wait(within: 60) { steps(ground, "kept") > stood }
        let log = try String(contentsOfFile: ground.file("kept", "logs/coordinator.log"), encoding: .utf8)
        #expect(log.contains("going on from step") && !log.contains("`\(name)` joined"), "\(log)")

        let again = try ground.start("worker", join)
        try second.wait(within: 60) {
            let names = (try? workers(ground, "kept", "rollout")) ?? []
            return names.contains { $0.contains("-\(again.process.processIdentifier)-") }
        }
        #expect(try command(ground, ["stop", "kept", "--now"]).status == 0)
        #expect(try again.finish(within: 60).status == 0)
    }

    @Test func `requests are for the run's owner alone, and what is none is removed and said`() throws {
        let ground = try Ground()
        let more = ["--set", "schedule.steps=4000", "--set", "evaluation.every_steps=0"]
        let running = try ground.start("coordinator", ground.tiny("open", more))
        let folder = ground.file("open", "requests")
        try running.wait(within: 60) { steps(ground, "open") >= 1 || !running.process.isRunning }
        let attributes = try FileManager.default.attributesOfItem(atPath: folder)
        #expect(attributes[.posixPermissions] as? Int == 0o700)
        let stray = folder + "/request-1"
        try "{\"request\": \"delete everything\"}".write(toFile: stray, atomically: false, encoding: .utf8)
        try FileManager.default.createSymbolicLink(atPath: folder + "/request-2", withDestinationPath: "/etc/passwd")
        try running.wait(within: 20) {
            (try? FileManager.default.contentsOfDirectory(atPath: folder))?.isEmpty == true
        }
        let now = try command(ground, ["stop", "open", "--now"])
        #expect(now.status == 0, "\(now.errors)")
        #expect(try running.finish(within: 10).status == 2)
        let log = try String(contentsOfFile: ground.file("open", "logs/coordinator.log"), encoding: .utf8)
        #expect(log.components(separatedBy: "is no request").count == 3, "\(log)")
    }
}
