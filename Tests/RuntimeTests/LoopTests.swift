// Do the real loops train what a pure function predicts, whatever happens to the workers?

import Cluster
import Foundation
import Rollouts
import Runtime
import Testing
import Transport
import Wire

@Suite(.timeLimit(.minutes(1)))
struct LoopTests {
    private let options = ScriptedRun.options()

    private func run<Link: ServerLink & ~Copyable>(
        _ link: consuming Link, _ shell: ScriptedShell, _ folder: String, options: RunOptions? = nil
    ) throws -> RunOutcome {
        let options = options ?? self.options
        var loop = try CoordinatorLoop(
            link: link, core: ScriptedRun.core(options, folder: folder), shell: shell, wake: try WakePipe(),
            run: "scripted")
        let outcome = loop.run()
        loop.linger(.milliseconds(500))
        return outcome
    }

    @Test func `three steps over memory end with the hashes that a pure function predicts`() throws {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let network = MemoryNetwork()
        let link = try network.server()
        let workers = [
            try ScriptedWorker("r", roles: [.rollout], process: -1, folder: folder) { try network.client() },
            try ScriptedWorker("v", roles: [.verifier], process: -2, folder: folder) { try network.client() },
            try ScriptedWorker("l", roles: [.learner], process: -3, folder: folder) { try network.client() },
        ]
        let shell = ScriptedShell()
        #expect(try run(link, shell, folder) == .completed(step: 3))
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(options))
        #expect(shell.records.last == .finished(.completed(step: 3)))
        for worker in workers { worker.join() }
    }

    @Test func `three steps over ZeroMQ end the same`() throws {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let address = Address.ipc(path: folder + "/control")
        let context = try Context()
        let link = try ControlServer(context, listen: [address])
        let worker = try ScriptedWorker("all", roles: [.rollout, .verifier, .learner], process: -1, folder: folder) {
            try ControlClient(context, connect: address)
        }
        let shell = ScriptedShell()
        #expect(try run(link, shell, folder) == .completed(step: 3))
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(options))
        worker.join()
    }

    @Test func `a verification that fails is tried again and changes nothing`() throws {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let network = MemoryNetwork()
        let link = try network.server()
        let failures = Failures(2)
        let workers = [
            try ScriptedWorker("rl", roles: [.rollout, .learner], process: -1, folder: folder) { try network.client() },
            try ScriptedWorker("v1", roles: [.verifier], process: -2, folder: folder, failures: failures) {
                try network.client()
            },
            try ScriptedWorker("v2", roles: [.verifier], process: -3, folder: folder) { try network.client() },
        ]
        let shell = ScriptedShell()
        // Enough steps that the failing verifier gets work however the threads run.
        let options = ScriptedRun.options(steps: 8)
        #expect(try run(link, shell, folder, options: options) == .completed(step: 8))
        #expect(failures.count >= 1)
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(options))
        #expect(shell.steps.allSatisfy { $0["no_verdict_count"] == 0 })
        for worker in workers { worker.join() }
    }

    @Test func `a worker whose process is known dead is replaced at once, not after its silence`() throws {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let network = MemoryNetwork()
        let link = try network.server()
        var options = options
        options.cluster.heartbeatSeconds = 3600
        options.cluster.leaseSeconds = 3600
        let first = try ScriptedWorker("all", roles: [.rollout, .verifier, .learner], process: -1, folder: folder) {
            try network.client()
        }
        let shell = ScriptedShell()
        var second: ScriptedWorker?
        var failure: (any Error)?
        shell.onStep = { step in
            // The step is trained again by the other learner: one loss is enough.
            guard step == 1, second == nil else { return }
            shell.dead = [-1]
            do {
                second = try ScriptedWorker(
                    "two", roles: [.rollout, .verifier, .learner], process: -2, folder: folder
                ) { try network.client() }
            } catch { failure = error }
        }
        #expect(try run(link, shell, folder, options: options) == .completed(step: 3))
        #expect(failure == nil)
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(options))
        #expect(shell.records.contains(.workerLeft(name: "all", reason: "left: its process ended")))
        second?.join()
        // It was given up, but lives in this process: the end of the network's coordinator is not its end.
        _ = first
    }

    @Test func `a stranger who says anything but hello is told to say hello`() throws {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let network = MemoryNetwork()
        let link = try network.server()
        // What a worker of this run says after the coordinator was started again.
        var former = Conversation.worker(epoch: 7)
        var coordinator = Conversation.coordinator(run: "scripted")
        let hello = Hello(
            protocolVersion: .current, worker: "former", host: "elsewhere", processIdentifier: 1, roles: [.rollout],
            threads: 1, rolloutSlots: 1, verificationSlots: 0, kernel: "scripted")
        _ = try coordinator.open(former.seal(.hello(hello)))
        _ = try former.open(coordinator.seal(.refused(reason: "restarted")))
        var stranger = try network.client()
        let sent = [
            stranger.send(former.seal(.heartbeat(progress: []))), stranger.send(former.seal(.goodbye(reason: "done"))),
        ]
        #expect(sent.allSatisfy { $0 == .sent })
        let shell = ScriptedShell()
        let worker = try ScriptedWorker("all", roles: [.rollout, .verifier, .learner], process: -1, folder: folder) {
            try network.client()
        }
        #expect(try run(link, shell, folder) == .completed(step: 3))
        let answers = [stranger.receive(), stranger.receive()]
        let answer = try #require(answers[0])
        // A new conversation answers: the former coordinator's count is not known to this one.
        var fresh = Conversation.worker(epoch: 7)
        #expect(try fresh.open(answer).messages == [.refused(reason: Coordinator.unknownConnection)])
        #expect(answers[1] == nil)
        worker.join()
    }
}
