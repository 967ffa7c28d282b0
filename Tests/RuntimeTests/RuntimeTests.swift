// Are the command line's words and the small parts of the shell right?

import Cluster
import Foundation
import Rollouts
import Runtime
import Simulation
import Testing
import Transport

@Suite struct LayoutTests {
    @Test func `a layout is the recipe's unless the command line says another`() throws {
        var options = ClusterOptions()
        options.localRollout = 3
        #expect(try LocalLayout(nil, options: options).rollout == 3)
        let given = try LocalLayout("rollout=2,verifier=1", options: options)
        #expect((given.rollout, given.verifier, given.learner) == (2, 1, 0))
        #expect(try LocalLayout("none", options: options).isEmpty)
        #expect(given.processes(cores: 8).map(\.threads) == [4, 4, 1])
        let shared = try LocalLayout("learner=2", options: options, shards: 4)
        #expect(shared.processes(cores: 8).map(\.threads) == [4, 4])
        #expect(given.processes(cores: 8).map(\.roles) == [[.rollout], [.rollout], [.verifier]])
    }

    @Test(arguments: ["garbage", "rollout=", "rollout=-1", "rollout=65", "cook=1", "learner=2", "rollout 2"])
    func `a layout that makes no sense is named`(text: String) {
        #expect(throws: RuntimeError.self) { try LocalLayout(text, options: ClusterOptions()) }
        do {
            _ = try LocalLayout(text, options: ClusterOptions())
        } catch {
            #expect("\(error)".contains("--local \(text)"))
        }
    }

    private func plan(_ texts: [String], encrypt: Bool = false, insecure: Bool = false) throws -> ListenPlan {
        try ListenPlan(texts, encrypt: encrypt, insecure: insecure)
    }

    @Test func `other hosts are let in encrypted, unless the user insists`() throws {
        let loopback = Address.tcp(host: "127.0.0.1", port: 5555)
        let everywhere = Address.tcp(host: "0.0.0.0", port: 5555)
        let ipc = Address.ipc(path: "/tmp/x")
        #expect(try plan(["tcp://127.0.0.1:5555", "ipc:///tmp/x"]).plain == [loopback, ipc])
        let mixed = try plan(["tcp://127.0.0.1:5555", "ipc:///tmp/x", "tcp://0.0.0.0:5555"])
        #expect(mixed.encrypted == [loopback, everywhere] && mixed.plain == [ipc] && !mixed.isOpen)
        #expect(try plan(["tcp://127.0.0.1:5555"], encrypt: true).encrypted == [loopback])
        let open = try plan(["tcp://0.0.0.0:5555"], insecure: true)
        #expect(open.plain == [everywhere] && open.encrypted.isEmpty && open.isOpen)
        #expect(try !plan(["tcp://127.0.0.1:5555"], insecure: true).isOpen)
        #expect(try plan([]) == .nowhere)
        #expect(try plan(["tcp://127.0.0.1:65534"]).plain.count == 1)
        for wrong in [["tcp://127.0.0.1:65535"], ["tcp://0.0.0.0:65534"]] {
            #expect(throws: RuntimeError.self) { try plan(wrong) }
        }
        #expect(throws: RuntimeError.self) { try plan(["tcp://0.0.0.0:5555"], encrypt: true, insecure: true) }
        #expect(throws: RuntimeError.self) { try plan(["ipc:///tmp/x"], encrypt: true) }
        #expect(throws: TransportError.self) { try plan(["nonsense"]) }
    }

    @Test func `the control address of an admission is the one beside the join address that answered`() {
        let join = Address.tcp(host: "tunnel", port: 5557)
        let controls = [Address.tcp(host: "*", port: 4000), .tcp(host: "10.0.0.1", port: 5555)]
        let beside = ListenAddress.control(reachedAt: join, of: [join], among: controls)
        #expect(beside == .tcp(host: "tunnel", port: 5555))
        let other = Address.tcp(host: "head", port: 39_000)
        let placed = ListenAddress.control(reachedAt: other, of: [join, other], among: controls)
        #expect(placed == .tcp(host: "head", port: 5555))
        #expect(ListenAddress.control(reachedAt: other, of: [], among: controls) == .tcp(host: "head", port: 4000))
    }

    @Test func `bulk data's port is the next one, at the host that worked`() throws {
        #expect(ListenAddress.forBlobs(.tcp(host: "*", port: 5555)) == .tcp(host: "*", port: 5556))
        #expect(ListenAddress.forBlobs(.tcp(host: "*", port: 0)) == .tcp(host: "*", port: 0))
        #expect(ListenAddress.forBlobs(.ipc(path: "/a")) == .ipc(path: "/a-blobs"))
        #expect(ListenAddress.forJoining(.tcp(host: "*", port: 5555)) == .tcp(host: "*", port: 5557))
        let told = Address.tcp(host: "10.0.0.1", port: 5556)
        #expect(told.reached(as: .tcp(host: "tunnel", port: 7000)) == .tcp(host: "tunnel", port: 5556))
        #expect(told.reached(as: .ipc(path: "/a")) == told)
    }

    @Test func `roles are read in any order and once`() throws {
        #expect(try WorkerProcess.parse("verifier,rollout,verifier") == [.rollout, .verifier].sorted())
        #expect(throws: RuntimeError.self) { try WorkerProcess.parse("cook") }
        #expect(throws: RuntimeError.self) { try WorkerProcess.parse("") }
    }
}

@Suite struct FolderTests {
    @Test(arguments: ["", ".hidden", "a/b", "..", "a b", String(repeating: "x", count: 101)])
    func `a name that is no folder name is refused`(name: String) {
        #expect(throws: RuntimeError.self) { try RunDirectory.check(name: name) }
    }

    @Test func `a path is shown as it was given`() throws {
        #expect(RunDirectory(name: "a").shown == "runs/a")
        #expect(RunDirectory(runs: "/tmp/x/", name: "a").shown == "/tmp/x/a")
        #expect(RunDirectory(name: "a").path.hasPrefix("/"))
        #expect(throws: Never.self) { try RunDirectory.check(name: "a-B_9.x") }
    }

    @Test func `a long folder's sockets lie in a short one, which is removed`() throws {
        let deep = RunDirectory(runs: "/tmp/" + String(repeating: "d", count: 120), name: "a")
        let address = try deep.socketAddress("control")
        let path = String(address.dropFirst("ipc://".count))
        #expect(path.utf8.count <= Address.longestPathBytes)
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        deep.removeSockets([address])
        #expect(!FileManager.default.fileExists(atPath: (path as NSString).deletingLastPathComponent))
    }

    @Test func `what is neither a run nor a model says so`() {
        do {
            _ = try Subject.find("nobody", runs: "/nowhere")
            Issue.record("it was found")
        } catch {
            #expect(error.description == "`nobody` is neither a run in `/nowhere/` nor a model file or folder")
        }
    }
}

@Suite struct JSONTextTests {
    @Test func `keys keep their order and text is escaped`() {
        let text = JSONText.object([
            ("b", .string("a\"\\\n\u{1}é")), ("a", .array([.integer(-1), .bool(true), .null])),
            ("c", .number(.nan)), ("d", .object([("x", .number(0.5))])),
        ])
        #expect(text == #"{"b":"a\"\\\n\u0001é","a":[-1,true,null],"c":null,"d":{"x":0.5}}"#)
    }
}

@Suite(.timeLimit(.minutes(1))) struct MailboxTests {
    @Test func `what is put is taken in order, also after closing, and then there is nothing`() {
        let mailbox = Mailbox<Int>()
        for number in 1...3 { mailbox.put(number) }
        #expect(mailbox.takeAll() == [1, 2, 3])
        #expect(mailbox.takeAll().isEmpty)
        mailbox.put(4)
        mailbox.close()
        #expect(mailbox.wait() == [4])
        #expect(mailbox.wait() == nil)
    }

    @Test func `a sleeping reader is woken and nothing is lost`() throws {
        let numbers = Mailbox<Int>()
        let sums = Mailbox<Int>()
        let thread = try NamedThread("reader") {
            var sum = 0
            while let taken = numbers.wait() { sum += taken.reduce(0, +) }
            sums.put(sum)
        }
        for number in 1...1000 { numbers.put(number) }
        numbers.close()
        thread.join()
        #expect(sums.takeAll() == [500_500])
    }

    @Test func `every put wakes the descriptor's reader`() throws {
        let wake = try WakePipe()
        let mailbox = Mailbox<Int>(wake: { wake.wake() })
        mailbox.put(1)
        #expect(wake.drain())
        #expect(!wake.drain())
    }
}

@Suite(.timeLimit(.minutes(1))) struct ComputeThreadTests {
    @Test func `orders are answered in order, and a thread that is stopped ends`() throws {
        let wake = try WakePipe()
        let answers = Mailbox<ComputeAnswer>(wake: { wake.wake() })
        let compute = try ComputeThread(answers: answers) { ScriptedWorkbench(failures: Failures(1)) }
        let policy = ScriptedWork.basePolicy
        compute.orders.put(.load(policy))
        let order = WorkOrder.verify(
            VerificationAssignment(
                key: GroupKey(purpose: .training, step: 1, ordinal: 0), promptText: "q", answer: "1",
                completions: ["1", "2"]))
        compute.orders.put(.start(LeaseIdentifier(1), order))
        compute.orders.put(.start(LeaseIdentifier(2), order))
        var words: [String] = []
        while words.count < 3 {
            _ = wake.wait(timeout: .seconds(10))
            wake.drain()
            for answer in answers.takeAll() {
                switch answer {
                case .loaded(let version, let hash):
                    words.append("loaded \(version.rawValue) \(hash == policy.weightsHash)")
                case .outcome(.finished(let lease, .failed(_, let retryable), _)):
                    words.append("failed \(lease.rawValue) \(retryable)")
                case .outcome(.finished(let lease, .verdicts(let verdicts, _), _)):
                    words.append("verdicts \(lease.rawValue) \(verdicts.count)")
                default: words.append("something else")
                }
            }
        }
        #expect(words == ["loaded 0 true", "failed 1 true", "verdicts 2 2"])
        compute.stop()
        compute.join()
    }
}
