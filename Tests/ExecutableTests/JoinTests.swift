// From invitation to work to revocation, through the real programs over encrypted loopback.

import Foundation
import Testing

@Suite(.serialized)
struct JoinTests {
    private static let steps = ["--set", "schedule.steps=30", "--set", "evaluation.every_steps=0"]

    private func state(_ ground: Ground, _ name: String = "worker") -> String {
        ground.folder.appendingPathComponent("\(name).key").path
    }

    private func invite(_ ground: Ground, _ run: String, _ more: [String] = []) throws -> [String] {
        let result = try ground.run("coordinator", ["invite", run, "--runs", ground.runs] + more)
        #expect(result.status == 0, "\(result.errors)")
        return result.output.split(separator: "\n").map(String.init)
    }

    private func log(_ ground: Ground, _ run: String) -> String {
        String(
            decoding: FileManager.default.contents(atPath: ground.file(run, "logs/coordinator.log")) ?? Data(),
            as: UTF8.self)
    }

    private func count(_ text: String, in log: String) -> Int { log.components(separatedBy: text).count - 1 }

    /// A coordinator that listens encrypted and starts `local`, listening already.
    private func head(
        _ ground: Ground, _ run: String, local: String, listen: String = "tcp://127.0.0.1:0", _ more: [String] = []
    ) throws -> Running {
        let head = try ground.start(
            "coordinator",
            ground.tiny(run, JoinTests.steps + ["--encrypt", "--listen", listen, "--local", local] + more))
        try head.wait(within: 60) { head.output.contains("Workers join with a token") }
        return head
    }

    private func address(_ head: Running) throws -> String {
        let words = head.output.components(separatedBy: "Listening, encrypted, on ")
        return try #require(words.last?.components(separatedBy: ". ").first)
    }

    private func workers(_ ground: Ground, _ run: String) throws -> [[String: Any]] {
        let result = try ground.run("coordinator", ["workers", run, "--json", "--runs", ground.runs])
        #expect(result.status == 0, "\(result.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        return try #require(object?["workers"] as? [[String: Any]])
    }

    @Test func `an invited worker works encrypted, the weights are the same, and nobody else gets in`() throws {
        let ground = try Ground()
        #expect(try ground.run("coordinator", ground.tiny("alone", JoinTests.steps)).status == 0)
        let head = try head(ground, "joined", local: "verifier=1,learner=1")
        let tokens = try invite(ground, "joined", ["--role", "rollout", "--count", "2"])
        #expect(tokens.count == 2 && tokens.allSatisfy { $0.hasPrefix("rookery1-") })
        #expect(try invite(ground, "joined", ["--expires", "1s"]).count == 1)

        // Without a token: plain text is not heard.
        let plain = try ground.start("worker", ["join", try address(head), "--role", "rollout", "--threads", "1"])
        // The token alone is not enough for what it was not meant for.
        let greedy = try ground.run("worker", ["join", tokens[1], "--role", "learner", "--key-file", state(ground, "b")])
        #expect(greedy.status == 1 && greedy.errors.contains("the invitation is for rollout, not for learner"))

        let worker = try ground.start("worker", ["join", tokens[0], "--threads", "1", "--key-file", state(ground)])
        try head.wait(within: 120) { ((try? ground.hashes("joined").count) ?? 0) >= 2 }
        let reused = try ground.run("worker", ["join", tokens[0], "--key-file", state(ground, "c")])
        #expect(reused.status == 1 && reused.errors.contains("the invitation was used by"), "\(reused.errors)")
        #expect(reused.errors.split(separator: "\n").count == 1, "\(reused.errors)")

        let listed = try workers(ground, "joined")
        #expect(listed.count == 2)
        let ended = try head.finish(within: 240)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ground.hashes("joined") == ground.hashes("alone"))
        let left = try worker.finish(within: 60)
        #expect(left.status == 0 && left.errors.contains("admitted to the run `joined` as"), "\(left.errors)")
        let log = log(ground, "joined")
        #expect(count("the invitation was used by", in: log) == 1, "\(log)")
        #expect(!log.contains("rookery1-"), "a token is in the log")
        plain.signal(SIGTERM)
        _ = try plain.finish(within: 60)
        for name in ["keys/coordinator.key", "keys/access.sqlite"] {
            let mode = try FileManager.default.attributesOfItem(atPath: ground.file("joined", name))[.posixPermissions]
            #expect(mode as? Int == 0o600, "\(name)")
        }
    }

    @Test func `an expired token is refused with one line on both sides, and so is one for another run`() throws {
        let ground = try Ground()
        // A loopback host of the test's own: no other test takes the ports beside.
        let listen = "tcp://127.0.88.1:7700"
        let head = try head(ground, "late", local: "none", listen: listen)
        let token = try invite(ground, "late", ["--expires", "1s"])[0]
        // Its time is the coordinator's; it passes by itself.
        let deadline = Date() + 1.5
        try head.wait(within: 30) { Date() >= deadline }
        let refused = try ground.run("worker", ["join", token, "--key-file", state(ground)])
        #expect(refused.status == 1 && refused.errors.contains("the invitation expired at"), "\(refused.errors)")
        #expect(refused.errors.split(separator: "\n").count == 1)
        try head.wait(within: 30) { count("the invitation expired at", in: log(ground, "late")) == 1 }

        // A token of another coordinator finds nobody at this one's address whom it trusts.
        let other = try invite(ground, "other", ["--address", listen])[0]
        let lost = try ground.start("worker", ["join", other, "--key-file", state(ground)])
        try lost.wait(within: 60) { !lost.process.isRunning || lost.errors.contains("no answer at") }
        lost.signal(SIGTERM)
        #expect(try lost.finish(within: 60).errors.contains("from the coordinator that made this token"))
        #expect(try workers(ground, "late").isEmpty)
        head.signal(SIGTERM)
        _ = try head.finish(within: 60)
    }

    @Test func `a revoked worker's work goes to others, and it stays out until it is invited again`() throws {
        let ground = try Ground()
        let head = try head(ground, "revoked", local: "verifier=1,learner=1", ["--set", "schedule.steps=400"])
        let tokens = try invite(ground, "revoked", ["--role", "rollout", "--count", "2"])
        let arguments = ["--threads", "1", "--key-file", state(ground)]
        let worker = try ground.start("worker", ["join", tokens[0]] + arguments)
        try head.wait(within: 120) { ((try? ground.hashes("revoked").count) ?? 0) >= 2 }
        let name = try #require(try workers(ground, "revoked").first?["name"] as? String)
        try head.wait(within: 30) { (try? workers(ground, "revoked").first?["connected"] as? Bool) == true }
        let revoke = ["workers", "revoked", "--runs", ground.runs, "--revoke", name]
        #expect(try ground.run("coordinator", revoke).status == 0)
        let left = try worker.finish(within: 60)
        #expect(left.errors.contains("the admission of this worker was revoked"), "\(left.errors)")
        let again = try ground.run("worker", ["join", tokens[0]] + arguments)
        #expect(again.status == 1 && again.errors.contains("was revoked; ask for a new invitation"), "\(again.errors)")
        #expect(log(ground, "revoked").contains("its admission was revoked"))
        let listed = try #require(try workers(ground, "revoked").first)
        #expect(listed["connected"] as? Bool == false && !(listed["revoked_at"] is NSNull))
        #expect(listed["last_seen_at"] is Double)

        let done = try ground.hashes("revoked").count
        let invited = try ground.start("worker", ["join", tokens[1]] + arguments)
        try head.wait(within: 120) { ((try? ground.hashes("revoked").count) ?? 0) > done + 1 }
        head.signal(SIGTERM)
        #expect(try head.finish(within: 60).status == 2)
        #expect(try invited.finish(within: 60).status == 0)
    }

    @Test func `an invitation made before the run starts works, and the worker outlives a killed coordinator`() throws {
        let ground = try Ground()
        #expect(try ground.run("coordinator", ground.tiny("alone", JoinTests.steps)).status == 0)
        let listen = "tcp://127.0.88.2:7700"
        let token = try invite(ground, "before", ["--role", "rollout", "--address", listen])[0]
        let arguments = ["join", token, "--threads", "1", "--key-file", state(ground)]
        let worker = try ground.start("worker", arguments)
        let first = try head(ground, "before", local: "verifier=1,learner=1", listen: listen)
        try first.wait(within: 120) { ((try? ground.hashes("before").count) ?? 0) >= 3 }
        first.signal(SIGKILL)
        _ = try first.finish(within: 60)
        let resumed = try head(ground, "before", local: "verifier=1,learner=1", listen: listen, ["--resume"])
        let ended = try resumed.finish(within: 240)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ground.hashes("before") == ground.hashes("alone"))
        #expect(try worker.finish(within: 60).status == 0)
    }

    @Test func `without encryption and keys a warning says so, and a token in a file joins nobody by accident`() throws {
        let ground = try Ground()
        let open = try ground.start(
            "coordinator",
            ground.tiny("open", ["--insecure", "--listen", "tcp://0.0.0.0:0", "--local", "none"]))
        try open.wait(within: 60) { log(ground, "open").contains("--insecure: no encryption, no keys") }
        open.signal(SIGTERM)
        _ = try open.finish(within: 60)
        let file = ground.folder.appendingPathComponent("token").path
        try "tcp://127.0.0.1:5".write(toFile: file, atomically: true, encoding: .utf8)
        let wrong = try ground.run("worker", ["join", "--token-file", file])
        #expect(wrong.status == 1 && wrong.errors.contains("does not hold a join token"), "\(wrong.errors)")
    }
}
