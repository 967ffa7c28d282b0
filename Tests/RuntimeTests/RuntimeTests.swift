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

    @Test func `other hosts are let in only on request`() throws {
        let loopback = try ListenAddress.parse(["tcp://127.0.0.1:5555"], insecure: false)
        #expect(loopback == [.tcp(host: "127.0.0.1", port: 5555)])
        #expect(throws: RuntimeError.self) { try ListenAddress.parse(["tcp://0.0.0.0:5555"], insecure: false) }
        #expect(try ListenAddress.parse(["tcp://0.0.0.0:5555"], insecure: true).count == 1)
        #expect(throws: RuntimeError.self) { try ListenAddress.parse(["tcp://127.0.0.1:65535"], insecure: false) }
        #expect(throws: TransportError.self) { try ListenAddress.parse(["nonsense"], insecure: true) }
    }

    @Test func `bulk data's port is the next one, at the host that worked`() throws {
        #expect(ListenAddress.forBlobs(.tcp(host: "*", port: 5555)) == .tcp(host: "*", port: 5556))
        #expect(ListenAddress.forBlobs(.tcp(host: "*", port: 0)) == .tcp(host: "*", port: 0))
        #expect(ListenAddress.forBlobs(.ipc(path: "/a")) == .ipc(path: "/a-blobs"))
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
