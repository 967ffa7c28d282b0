// Who is let in, who is not, and that a run goes on whoever knocks.

import Cluster
import Foundation
import Rollouts
import RunStore
import Runtime
import Synchronization
import Testing
import Transport
import Wire

@Suite struct RunAccessTests {
    private let directory: RunDirectory

    init() throws {
        directory = RunDirectory(runs: try ScriptedRun.folder(), name: "run")
        try directory.create()
    }

    private func invite(
        _ access: RunAccess, roles: [WorkerRole] = [.rollout], expiresAt: Double = 4e9
    ) throws -> JoinToken {
        let token = JoinToken(
            server: access.keys.publicKey, identifier: .random(), secret: .random(),
            addresses: [.tcp(host: "head", port: 7)])
        try access.store.add([
            Invitation(
                identifier: token.identifier.description, verifier: token.secret.verifier.bytes, roles: roles,
                expiresAt: expiresAt)
        ])
        return token
    }

    /// What the coordinator answers to a worker with this token and these keys, and what it logs.
    private func ask(
        _ access: RunAccess, _ token: JoinToken, _ keys: KeyPair, claiming other: PublicKey? = nil
    ) -> (JoinAnswer, [String]) {
        let proof = token.secret.verifier.proof(
            worker: other ?? keys.publicKey, server: token.server, identifier: token.identifier)
        var lines: [String] = []
        let answer = access.decide(
            JoinRequest(identifier: token.identifier, proof: proof, name: "host"), key: keys.publicKey,
            addresses: [.tcp(host: "*", port: 5)]) { lines.append($1) }
        return (answer, lines)
    }

    @Test func `a token lets in the key that proved it, which a restarted coordinator still knows`() throws {
        let keys = KeyPair.generate()
        let token: JoinToken
        do {
            let access = try RunAccess(directory)
            token = try invite(access, roles: [.rollout, .learner])
            #expect(!access.allowed.contains(keys.publicKey))
            let (answer, lines) = ask(access, token, keys)
            #expect(
                answer
                    == .admitted(
                        JoinAdmission(
                            name: "host", roles: [.rollout, .learner], run: "run",
                            addresses: [.tcp(host: "*", port: 5)])))
            #expect(lines.count == 1 && lines[0].hasPrefix("`host` is admitted (rollout, learner; token "))
            #expect(access.allowed.contains(keys.publicKey) && access.learners.contains(keys.publicKey))
        }
        let access = try RunAccess(directory)
        #expect(access.keys.publicKey == token.server, "the run's key stays")
        #expect(access.allowed.contains(keys.publicKey))
        let (again, lines) = ask(access, token, keys)
        guard case .admitted = again else { return #expect(Bool(false), "\(again)") }
        #expect(lines.count == 1 && lines[0].hasPrefix("`host` was admitted before"))
    }

    @Test func `a guess, a stolen proof, a reused and an expired token are refused with one line each`() throws {
        let access = try RunAccess(directory)
        let (owner, thief) = (KeyPair.generate(), KeyPair.generate())
        func refusal(_ outcome: (JoinAnswer, [String])) -> String {
            guard case .refused(let reason, false) = outcome.0 else { return "not refused" }
            #expect(outcome.1.count == 1 && outcome.1[0].contains(reason), "\(outcome.1)")
            return reason
        }
        let token = try invite(access)
        let guess = JoinToken(
            server: token.server, identifier: token.identifier, secret: .random(), addresses: token.addresses)
        #expect(refusal(ask(access, guess, thief)) == "this token is no invitation to the run")
        // A proof that was made for another key is worth nothing.
        #expect(
            refusal(ask(access, token, thief, claiming: owner.publicKey)) == "this token is no invitation to the run")
        _ = ask(access, token, owner)
        #expect(refusal(ask(access, token, thief)).hasPrefix("the invitation was used by `host` with another key"))
        let late = try invite(access, expiresAt: 1000)
        #expect(refusal(ask(access, late, thief)).hasPrefix("the invitation expired at 1970-01-01T00:16:40Z"))
        #expect(!access.allowed.contains(thief.publicKey))
    }

    @Test func `revoking by another process reaches the list, and is reported once`() throws {
        let access = try RunAccess(directory)
        let keys = KeyPair.generate()
        let token = try invite(access)
        _ = ask(access, token, keys)
        try access.refresh()
        #expect(access.takeRevoked() == [])
        let other = try AccessStore(path: directory.access)
        #expect(try other.revoke(name: "host") != nil)
        #expect(access.allowed.contains(keys.publicKey), "not looked yet")
        try access.refresh()
        #expect(!access.allowed.contains(keys.publicKey))
        #expect(access.takeRevoked() == [keys.publicKey])
        #expect(access.takeRevoked() == [])
        guard case .refused(let reason, false) = ask(access, token, keys).0 else { return #expect(Bool(false)) }
        #expect(reason.hasPrefix("the admission of `host` was revoked"))
    }

    @Test func `a worker is who its key says, and does what it was invited for`() throws {
        let access = try RunAccess(directory)
        let keys = KeyPair.generate()
        _ = ask(access, try invite(access, roles: [.rollout]), keys)
        func objection(_ worker: String, _ roles: [WorkerRole], _ key: PublicKey) -> String? {
            access.objection(
                to: Hello(
                    protocolVersion: .current, worker: worker, host: "h", processIdentifier: 1, roles: roles, threads: 1,
                    rolloutSlots: 1, verificationSlots: 0, kernel: ""), key: key)
        }
        #expect(objection("host:1-x", [.rollout], keys.publicKey) == nil)
        #expect(objection("host-2:1-x", [.rollout], keys.publicKey)?.contains("`host`") == true)
        #expect(objection("host", [.rollout], keys.publicKey) != nil)
        #expect(
            objection("host:1", [.rollout, .learner], keys.publicKey)
                == "`host` was invited as rollout, not as learner")
        #expect(objection("host:1", [.rollout], KeyPair.generate().publicKey)?.contains("is not admitted") == true)
    }

    @Test func `lifetimes are read with their unit`() throws {
        #expect(try InviteJob.seconds("90s") == 90 && InviteJob.seconds("30m") == 1800)
        #expect(try InviteJob.seconds("2h") == 7200 && InviteJob.seconds("7d") == 604_800)
        for wrong in ["", "h", "-1h", "0m", "1w", "10", "366d", "1.5h"] {
            #expect(throws: RuntimeError.self) { try InviteJob.seconds(wrong) }
        }
    }

    @Test func `a user's key is where the system keeps programs' state`() throws {
        let folder = try ScriptedRun.folder()
        let given = try WorkerAdmission.defaultKeyFile(["XDG_STATE_HOME": folder + "/a", "HOME": "/nowhere"])
        #expect(given == folder + "/a/rookery/worker.key")
        let home = try WorkerAdmission.defaultKeyFile(["XDG_STATE_HOME": "relative", "HOME": folder])
        #expect(home == folder + "/.local/state/rookery/worker.key")
        #expect(throws: RuntimeError.self) { try WorkerAdmission.defaultKeyFile([:]) }
    }
}

/// A peer that says whatever a test wants.
private final class RawPeer {
    private let thread: NamedThread
    private let shared: Shared

    private final class Shared: Sendable {
        let frames = Mutex<[[UInt8]]>([])
        let sent: WakePipe
        let done: WakePipe
        init() throws { (sent, done) = (try WakePipe(), try WakePipe()) }
    }

    /// All frames are with the coordinator when it returns.
    init(_ network: MemoryNetwork, _ frames: [[UInt8]]) throws {
        let shared = try Shared()
        self.shared = shared
        thread = try NamedThread("raw") {
            do {
                var link = try network.client()
                for frame in frames { precondition(link.send(frame) == .sent, "the network is full") }
                shared.sent.wake()
                while !shared.done.wait(timeout: nil) {}
                while let frame = link.receive() { shared.frames.withLock { $0.append(frame) } }
            } catch {
                preconditionFailure("raw peer: \(error)")
            }
        }
        while !shared.sent.wait(timeout: nil) {}
    }

    /// Frames that came, once the coordinator has ended.
    func join() -> [[UInt8]] {
        shared.done.wake()
        thread.join()
        return shared.frames.withLock { $0 }
    }
}

@Suite(.serialized, .timeLimit(.minutes(1)))
struct HostilePeerTests {
    private func hello(_ name: String, _ roles: [WorkerRole] = [.rollout]) -> Hello {
        Hello(
            protocolVersion: .current, worker: name, host: "h", processIdentifier: 9, roles: roles, threads: 1,
            rolloutSlots: 2, verificationSlots: 2, kernel: "")
    }

    /// A run of three steps with one honest worker over memory, beside peers that say these frames.
    private func run(
        _ shell: ScriptedShell, beside peers: [[[UInt8]]]
    ) throws -> (outcome: RunOutcome, heard: [[[UInt8]]]) {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let network = MemoryNetwork()
        let link = try network.server()
        let hostile = try peers.map { try RawPeer(network, $0) }
        // After them, so that the run cannot end before they are heard.
        let honest = try ScriptedWorker(
            "all", roles: [.rollout, .verifier, .learner], process: -1, folder: folder
        ) { try network.client() }
        let options = ScriptedRun.options()
        var loop = try CoordinatorLoop(
            link: link, core: ScriptedRun.core(options, folder: folder), shell: shell, wake: try WakePipe(),
            run: "scripted")
        let outcome = loop.run()
        loop.linger(.milliseconds(200))
        honest.join()
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(options))
        return (outcome, hostile.map { $0.join() })
    }

    @Test func `a worker whose messages cannot be read is named, struck and dropped, and the run is the same`() throws {
        var conversation = Conversation.worker(epoch: 77)
        var frames = [conversation.seal(.hello(hello("noisy")))]
        // Whole frames whose payload is no message.
        for sequence in 2...5 as ClosedRange<UInt64> {
            frames.append(
                Envelope.seal(
                    payload: [0xFF, 0xFF, 0xFF],
                    header: .init(
                        run: Envelope.runIdentifier("scripted"), epoch: 77, sequence: sequence, acknowledged: 0)))
        }
        let shell = ScriptedShell()
        let (outcome, heard) = try run(shell, beside: [frames])
        #expect(outcome == .completed(step: 3))
        let strikes = shell.notes.filter { $0.contains("`noisy` sent what is no message") && $0.contains("strike") }
        #expect(strikes.count == 3, "\(shell.notes)")
        #expect(shell.records.contains { if case .workerLeft("noisy", _) = $0 { true } else { false } })
        #expect(!heard[0].isEmpty)
    }

    @Test func `a worker that floods is struck, and what it floods with costs nobody else`() throws {
        var conversation = Conversation.worker(epoch: 78)
        var frames = [conversation.seal(.hello(hello("flood")))]
        for _ in 0..<9000 { frames.append(conversation.seal(.heartbeat(progress: []))) }
        let shell = ScriptedShell()
        let (outcome, _) = try run(shell, beside: [frames])
        #expect(outcome == .completed(step: 3))
        #expect(shell.notes.contains { $0.hasPrefix("`flood` sent more than it was asked for (strike 1 of 3)") })
    }

    @Test func `many messages in few frames are as many`() throws {
        var conversation = Conversation.worker(epoch: 81)
        let greeting = conversation.seal(.hello(hello("flood")))
        // As after an answer: only then does a worker know that it may.
        var coordinator = Conversation.coordinator(run: "scripted")
        _ = try coordinator.open(greeting)
        _ = try conversation.open(coordinator.seal(.acknowledge(lease: LeaseIdentifier(0))))
        let beats = [Message](repeating: .heartbeat(progress: []), count: 1000)
        var frames: [[UInt8]] = []
        for _ in 0..<9 {
            let isSealed = conversation.seal(beats) {
                frames.append($0)
                return true
            }
            #expect(isSealed)
        }
        #expect(frames.count == 9)
        let shell = ScriptedShell()
        let (outcome, _) = try run(shell, beside: [[greeting] + frames])
        #expect(outcome == .completed(step: 3))
        #expect(shell.notes.contains { $0.hasPrefix("`flood` sent more than it was asked for (strike 1 of 3)") })
    }

    @Test func `another protocol version is refused with both versions named, in one line`() throws {
        var conversation = Conversation.worker(epoch: 79)
        var frame = conversation.seal(.hello(hello("old")))
        frame[4] = 2
        let shell = ScriptedShell()
        let (outcome, heard) = try run(shell, beside: [[frame, frame, frame]])
        #expect(outcome == .completed(step: 3))
        let lines = shell.notes.filter { $0.contains("protocol 2.1, this coordinator 1.1") }
        #expect(lines.count == 1, "\(shell.notes)")
        var reader = Conversation.worker(epoch: 79)
        #expect(heard[0].count == 1, "refused once, not heard again")
        _ = reader.seal(.hello(hello("old")))
        guard let answer = heard[0].first else { return }
        // The coordinator cannot know the epoch of a frame that it cannot read; the reason is in the payload.
        let (_, payload) = try Envelope.open(answer)
        guard case .refused(let reason) = try WireCodec.decode(answer[payload]) else { return #expect(Bool(false)) }
        #expect(reason.contains("2.1") && reason.contains("1.1"))
    }

    @Test func `noise and strangers' words are dropped with a line a kind`() throws {
        var conversation = Conversation.worker(epoch: 80)
        let stray = conversation.seal(.heartbeat(progress: []))
        let noise = (0..<50).map { round in (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ round) } }
        let shell = ScriptedShell()
        let (outcome, _) = try run(shell, beside: [noise, [stray, stray]])
        #expect(outcome == .completed(step: 3))
        let lines = shell.notes.filter { $0.contains("a message of a stranger was dropped") }
        #expect(lines.count == 2, "\(shell.notes)")
        #expect(lines[0].contains("magic") && lines[1].contains("of another run"))
    }

    @Test func `a worker that is not who its key says is refused, and a revoked one's work goes to others`() throws {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let context = try Context()
        let (first, second, server) = (KeyPair.generate(), KeyPair.generate(), KeyPair.generate())
        let list = AllowList([first.publicKey, second.publicKey])
        let gatekeeper = try Gatekeeper(context, rules: ["run": .listed(list)]) { _ in }
        defer { gatekeeper.stop() }
        let link = try ControlServer(
            context, listen: [],
            curve: CurveListener(
                addresses: [.tcp(host: "127.0.0.1", port: 0)], keys: server, domain: "run", allowed: list))
        let address = link.addresses[0]
        func worker(_ name: String, _ keys: KeyPair, _ roles: [WorkerRole]) throws -> ScriptedWorker {
            try ScriptedWorker(name, roles: roles, process: -1, folder: folder) {
                try ControlClient(
                    context, connect: address, curve: CurveClient(keys: keys, server: server.publicKey))
            }
        }
        let shell = ScriptedShell()
        let names = [first.publicKey: "one:", second.publicKey: "two:"]
        shell.objection = { hello, key in
            key.flatMap { names[$0] }.map { hello.worker.hasPrefix($0) } == true ? nil : "`\(hello.worker)` is another"
        }
        shell.onStep = { step in
            guard step == 2 else { return }
            list.replace(with: [second.publicKey])
            shell.revoked = [first.publicKey]
        }
        let options = ScriptedRun.options(steps: 6)
        let revoked = try worker("one:1", first, [.rollout])
        let others = try worker("two:1", second, [.rollout, .verifier, .learner])
        let impostor = try worker("one:2", second, [.rollout])
        var loop = try CoordinatorLoop(
            link: link, core: ScriptedRun.core(options, folder: folder), shell: shell, wake: try WakePipe(),
            run: "scripted")
        #expect(loop.run() == .completed(step: 6))
        loop.linger(.milliseconds(500))
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(options))
        #expect(shell.notes.contains("refused: `one:2` is another"), "\(shell.notes)")
        #expect(shell.records.contains(.workerLeft(name: "one:1", reason: "left: its admission was revoked")))
        // Told to go.
        revoked.join()
        others.join()
        _ = impostor
    }
}
