// The chaos command itself, briefly: the same bits whoever dies, and no `same` without a fault.

import Foundation
import Testing

@Suite(.serialized)
struct ChaosTests {
    private let tiny = Ground.root.appendingPathComponent("cluster/recipes/tiny.yaml").path

    /// The one line and the status.
    private func chaos(_ arguments: [String]) throws -> (status: Int32, line: String, errors: String) {
        let ground = try Ground()
        let ended = try ground.start("chaos", [tiny] + arguments).finish(within: 600)
        let lines = ended.output.split(separator: "\n")
        #expect(lines.count == 1, "\(ended.output) \(ended.errors)")
        return (ended.status, lines.last.map(String.init) ?? "", ended.errors)
    }

    @Test(arguments: [0, 1]) func `the bits are the same when workers, learner and coordinator die`(lag: Int) throws {
        let (status, line, errors) = try chaos([
            "--seed", "11", "--steps", "16", "--rounds", "1", "--lag", "\(lag)", "--faults",
            "kill,stop-rollout,join,duplicate,reorder,replay",
        ])
        #expect(status == 0 && line.hasPrefix("same: undisturbed "), "\(line) \(errors)")
        for kind in ["kill-rollout 1", "kill-verifier 1", "kill-learner 1", "stop-rollout 1", "kill-coordinator 1"] {
            #expect(line.contains(kind), "\(line)")
        }
        let hashes = line.split(separator: " ").filter { $0.count >= 64 }.map { $0.prefix(64) }
        #expect(hashes.count == 2 && hashes.first == hashes.last)
    }

    @Test func `a worker that is stopped for longer than its lease changes nothing, at a lag of one`() throws {
        let (status, line, errors) = try chaos([
            "--seed", "3", "--steps", "12", "--rounds", "2", "--lag", "1", "--faults", "stop-rollout",
        ])
        #expect(status == 0 && line.contains("2 faults (stop-rollout 2)"), "\(line) \(errors)")
    }

    @Test func `a coordinator killed again and again loses nothing and counts nothing twice`() throws {
        let (status, line, errors) = try chaos(["--coordinator-kills", "12", "--seed", "5"])
        #expect(status == 0 && line.hasPrefix("same: "), "\(line) \(errors)")
        #expect(line.contains("12 faults (kill-coordinator 12)") && line.contains("none lost"), "\(line)")
        #expect(line.contains("20 steps, none twice"), "\(line)")
    }

    @Test func `what cannot be compared is refused before anything runs`() throws {
        let ground = try Ground()
        for (arguments, word) in [
            (["--set", "model.precision=float32"], "model.precision=bfloat16"), (["--faults", "storm"], "storm"),
            (["--set", "schedule.inflight=true"], "schedule.inflight=false"),
            (["--steps", "1"], "--steps"), (["--coordinator-kills", "3", "--namespaces"], "--namespaces"),
        ] {
            let ended = try ground.run("chaos", [tiny] + arguments)
            #expect(ended.status != 0 && ended.errors.contains(word), "\(arguments): \(ended.errors)")
        }
    }

    @Test func `interrupted, it ends every process that it started`() throws {
        let ground = try Ground()
        let chaos = try ground.start("chaos", [tiny, "--steps", "4000"])
        try chaos.wait(within: 60) { chaos.errors.contains("the undisturbed run") }
        func started() -> Bool { !children(of: chaos.process.processIdentifier).isEmpty }
        try chaos.wait(within: 60) { started() }
        let processes = children(of: chaos.process.processIdentifier)
        chaos.signal(SIGINT)
        let ended = try chaos.finish(within: 60)
        #expect(ended.status == 1 && ended.errors.contains("interrupted") && ended.output.isEmpty)
        #expect(processes.allSatisfy { kill($0, 0) != 0 })
    }

    private func children(of parent: Int32) -> [Int32] {
        let text = FileManager.default.contents(atPath: "/proc/\(parent)/task/\(parent)/children") ?? Data()
        return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
    }

    @Test(.enabled(if: getuid() == 0, "network namespaces take root"))
    func `a head and two invited workers on hosts of their own, each lost in turn`() throws {
        let probe = try Process.run(
            URL(fileURLWithPath: "/bin/sh"),
            arguments: ["-c", "ip netns add rookery-probe-$$ && ip netns delete rookery-probe-$$"])
        probe.waitUntilExit()
        guard probe.terminationStatus == 0 else { return print("skipped: network namespaces are not permitted here") }
        let (status, line, errors) = try chaos(["--namespaces", "--steps", "24"])
        let faults = "6 faults (kill-rollout 1, kill-learner 1, kill-coordinator 2, partition 2)"
        #expect(status == 0 && line.contains(faults), "\(line) \(errors)")
    }
}
