// Dispatch measured once, in this process: the real loop, core, envelope, sockets and store; or a bare ROUTER.

import ArgumentParser
import CZeroMQ
import Cluster
import Foundation
import Measurement
import Rollouts
import RunStore
import Runtime
import Transport

struct DispatchMeasurement: ParsableCommand {
    static let name = "measure-dispatch"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @Option var workers: Int
    /// Groups that a worker holds at once: 1 is one by one.
    @Option var window = 1
    @Option var groups = 4000
    @Flag var curve = false
    /// libzmq alone.
    @Flag var bare = false
    /// Keep nothing: what the store costs is the difference.
    @Flag var forgetful = false

    func run() throws {
        let cpu = ProcessorTime.own
        var readings = bare ? try echo() : try dispatch()
        readings["coordinator_cpu_s"] = [ProcessorTime.own - cpu]
        readings["peak_bytes"] = [ProcessMemory.peakBytes]
        print(readings.line)
    }

    // MARK: libzmq alone

    private func echo() throws -> Readings {
        let context = try BareContext()
        let router = try BareSocket(context, ZMQ_ROUTER)
        var options = ["--manner", "echo", "--workers", "\(workers)"]
        if curve {
            let keys = try BareKeys()
            router.serve(as: keys)
            options += ["--server-key", keys.publicKey]
        }
        let child = try WorkersProcess(options + ["--address", try router.bind()])
        defer { child.end() }
        let prompt = [UInt8](repeating: 66, count: DispatchLoad.promptBytes)
        var peers: [[UInt8]] = []
        while peers.count < workers {
            _ = BareSocket.wait([router], milliseconds: 1000)
            while let identity = router.receive() {
                _ = router.receive()
                peers.append(identity)
            }
        }
        func ask(_ peer: [UInt8]) {
            router.send(peer, more: true)
            router.send(prompt)
        }
        for peer in peers { for _ in 0..<window { ask(peer) } }
        // It takes a tenth of the time.
        let groups = 10 * self.groups
        var answered = 0
        var start = monotonicNanoseconds()
        // A tenth warms up.
        while answered < groups + groups / 10 {
            _ = BareSocket.wait([router], milliseconds: 1000)
            while let identity = router.receive() {
                _ = router.receive()
                answered += 1
                if answered == groups / 10 { start = monotonicNanoseconds() }
                ask(identity)
            }
        }
        let elapsed = seconds(since: start)
        for peer in peers {
            router.send(peer, more: true)
            router.send([0])
        }
        return Readings(["per_second": [Double(answered - groups / 10) / elapsed]])
    }

    // MARK: Rookery

    private func dispatch() throws -> Readings {
        let folder = NSTemporaryDirectory() + "rookery-dispatch-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // A leftover in the temporary folder harms nobody.
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let perStep = DispatchLoad.promptsPerStep(workers: workers, slots: window)
        let steps = max(3, (groups + perStep - 1) / perStep + 1)
        let ground = try DispatchGround.listening(
            options: DispatchLoad.options(workers: workers, slots: window, steps: steps), curve: curve)
        let shell = DispatchShell(store: forgetful ? nil : try RunStore(path: folder + "/run.sqlite"))
        let child = try WorkersProcess(
            ["--manner", "work", "--workers", "\(workers)", "--slots", "\(window)"] + ground.arguments)
        defer { child.end() }
        let outcome = try ground.run(shell)
        guard outcome == .completed(step: steps) else { throw BenchmarkError("the run ended as \(outcome)") }
        // The first step warms up; what comes after the last draw is a tail in which workers wait.
        let accepted = shell.acceptedAt
        let first = min(perStep, accepted.count / 3)
        let elapsed = Double(accepted[accepted.count - 1] - accepted[first]) * 1e-9
        return Readings([
            "per_second": [Double(accepted.count - 1 - first) / elapsed],
            "completions_per_second": [Double((accepted.count - 1 - first) * DispatchLoad.groupSize) / elapsed],
            "records_per_transaction": [Double(shell.recordCount) / Double(max(1, shell.transactionCount))],
        ])
    }
}

/// A listening coordinator over real sockets, with or without encryption.
struct DispatchGround: ~Copyable {
    private let context: Context
    private let gatekeeper: Gatekeeper?
    private let options: RunOptions
    private let server: PublicKey?
    private let link: ControlServer

    static func listening(options: RunOptions, curve: Bool) throws -> DispatchGround {
        let context = try Context()
        let keys = curve ? KeyPair.generate() : nil
        let any = Address.tcp(host: "127.0.0.1", port: 0)
        // Before the socket that asks it.
        let gatekeeper = curve ? try Gatekeeper(context, rules: ["run": .anyKey]) { _ in } : nil
        let link = try ControlServer(
            context, listen: curve ? [] : [any],
            curve: keys.map { CurveListener(addresses: [any], keys: $0, domain: "run", allowed: nil) })
        return DispatchGround(
            context: context, gatekeeper: gatekeeper, options: options, server: keys?.publicKey, link: link)
    }

    /// For the workers' process.
    var arguments: [String] {
        ["--address", "\(link.addresses[0])"] + (server.map { ["--server-key", BareKeys.text(ofKey: $0.bytes)] } ?? [])
    }

    consuming func run(_ shell: DispatchShell) throws -> RunOutcome {
        let welcome = Welcome(
            run: DispatchLoad.run, options: options,
            modelBundle: BlobReference(digest: DispatchLoad.digest(99), byteCount: 10), blobAddress: "",
            blobDirectory: "", blobDirectoryProof: "")
        let core = Coordinator(
            options: options,
            start: RunStart(
                run: DispatchLoad.run,
                checkpoint: Checkpoint(step: 0, manifest: DispatchLoad.base, nextPosition: 0), welcome: welcome))
        let keeper = gatekeeper
        var loop = try CoordinatorLoop(
            link: link, core: core, shell: shell, wake: try WakePipe(), run: DispatchLoad.run)
        let outcome = loop.run()
        loop.linger(.milliseconds(200))
        keeper?.stop()
        return outcome
    }
}

/// Loop thread only.
final class DispatchShell: CoordinatorShell {
    private let store: RunStore?
    let journal: any RecordJournal
    /// When each group's completions were durable.
    private(set) var acceptedAt: [UInt64] = []
    private(set) var recordCount = 0
    private(set) var transactionCount = 0
    private(set) var joinedCount = 0
    /// Called with how many have joined, each time their records are durable.
    var onJoin: (Int) -> Void = { _ in }
    /// Called about once a second.
    var onLook: () -> Void = {}

    init(store: RunStore?) {
        self.store = store
        journal = store ?? Forgetfulness()
    }

    private struct Forgetfulness: RecordJournal {
        func append(_ records: [Record]) {}
    }

    func recorded(_ records: [Record]) {
        recordCount += records.count
        transactionCount += 1
        let now = monotonicNanoseconds()
        for record in records {
            switch record {
            case .completionsAccepted: acceptedAt.append(now)
            case .workerJoined:
                joinedCount += 1
                onJoin(joinedCount)
            default: break
            }
        }
    }

    func drawPrompts(_ purpose: Purpose, step: Int, ordinals: Range<Int>, position: Int) throws -> [Prompt] {
        ordinals.map { DispatchLoad.prompt(GroupKey(purpose: purpose, step: step, ordinal: $0)) }
    }

    func report(_ metrics: StepMetrics) throws {}
    func report(_ evaluation: EvaluationReport) throws {}
    func rewind(toStep step: Int) throws { try store?.rewind(toStep: step) }
    func forgetBlobs(before version: PolicyVersion) {}
    func removeBlobs(_ blobs: [BlobReference]) {}
    func note(_ note: Note) { if note.level != .info { progress("  \(note.text)") } }
    func observe(_ coordinator: Coordinator, at now: MonotonicTime) { onLook() }
    func tend(at now: MonotonicTime) -> MonotonicTime? { nil }
    func takeEndedProcesses() -> [Int32] { [] }
}

/// The process with the workers' ends of the sockets.
final class WorkersProcess {
    private let process = Process()
    private let output = Pipe()

    init(_ arguments: [String]) throws {
        let own = try MeasuringProcess.own([ScriptedWorkers.name] + arguments)
        process.executableURL = URL(fileURLWithPath: own.executable)
        process.arguments = own.arguments
        process.standardOutput = output
        try process.run()
    }

    var processIdentifier: Int32 { process.processIdentifier }

    func end() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }
}

enum ProcessorTime {
    /// Seconds of processor time of this process, all threads.
    static var own: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
