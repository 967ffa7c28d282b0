// A whole run without a model: the real loops and threads, scripted work, a shell that remembers.

import Cluster
import Foundation
import Rollouts
import Runtime
import Simulation
import Synchronization
import Transport

/// Work that is a pure function of its order. Compute thread only.
final class ScriptedWorkbench: Workbench {
    private let failures: Failures
    private var directory = ""
    private var held: PolicyManifest?
    private var learner: ScriptedLearner?
    private var queue: [(LeaseIdentifier, WorkOrder)] = []

    init(failures: Failures) { self.failures = failures }

    func configure(_ welcome: Welcome, bundle: [UInt8], blobDirectory: String) throws { directory = blobDirectory }
    func load(_ manifest: PolicyManifest) throws -> Digest {
        held = manifest
        return manifest.weightsHash
    }
    func restartLearner(_ manifest: PolicyManifest) { learner = ScriptedLearner(from: manifest) }
    func start(_ lease: LeaseIdentifier, _ order: WorkOrder) { queue.append((lease, order)) }
    func cancel(_ lease: LeaseIdentifier) { queue.removeAll { $0.0 == lease } }
    var isIdle: Bool { queue.isEmpty }

    func advance(report: (WorkOutcome) -> Void) {
        let (lease, order) = queue.removeFirst()
        switch order {
        case .rollout(let assignment):
            guard let held else { preconditionFailure("rollouts before a policy") }
            let completions = ScriptedWork.completions(for: assignment, weights: held.weightsHash)
            report(.finished(lease, .completions(completions, seconds: 1), blobs: []))
        case .verify(let assignment):
            if failures.takeOne() {
                return report(.finished(lease, .failed(reason: "scripted", retryable: true), blobs: []))
            }
            report(.finished(lease, .verdicts(ScriptedWork.verdicts(for: assignment), seconds: 1), blobs: []))
        case .train(let assignment, let groups):
            guard let training = learner?.train(assignment, groups) else { preconditionFailure("no learner") }
            ScriptedRun.store(training.manifest, in: directory)
            report(.finished(lease, .trained(training, seconds: 1), blobs: []))
        case .gradient, .pretrain, .score, .saveCheckpoint:
            report(.finished(lease, .failed(reason: "not scripted", retryable: false), blobs: []))
        }
    }
}

/// How many verifications fail before they succeed; counts those that did.
///
/// `@unchecked Sendable`: both numbers are guarded by `lock`.
final class Failures: @unchecked Sendable {
    private let lock = NSLock()
    private var left: Int
    private var taken = 0

    init(_ count: Int) { left = count }
    var count: Int { lock.withLock { taken } }
    func takeOne() -> Bool {
        lock.withLock {
            guard left > 0 else { return false }
            left -= 1
            taken += 1
            return true
        }
    }
}

/// Keeps records in memory; may be told to wait, or to fail.
final class ScriptedJournal: RecordJournal {
    private let kept = Mutex<[Record]>([])
    private let before: @Sendable ([Record]) throws -> Void

    /// - Parameter before: called on the committing thread before anything is kept.
    init(before: @escaping @Sendable ([Record]) throws -> Void = { _ in }) { self.before = before }

    var records: [Record] { kept.withLock { $0 } }

    func append(_ records: [Record]) throws {
        try before(records)
        kept.withLock { $0 += records }
    }
}

/// Loop thread only; read after the loop has returned.
final class ScriptedShell: CoordinatorShell {
    /// What is durable.
    let journal: any RecordJournal
    /// What the loop was told is durable.
    var records: [Record] = []
    var steps: [StepMetrics] = []
    var notes: [String] = []
    var counters = CoordinatorStatus.Counters()
    /// Called after each step, on the loop thread.
    var onStep: (Int) -> Void = { _ in }
    /// Processes to be reported dead once.
    var dead: [Int32] = []
    /// Why a worker may not be who it says.
    var objection: (Hello, PublicKey?) -> String? = { _, _ in nil }
    /// Keys to be reported revoked once.
    var revoked: [PublicKey] = []

    init(journal: any RecordJournal = ScriptedJournal()) { self.journal = journal }

    func recorded(_ new: [Record]) throws { records += new }
    func drawPrompts(_ purpose: Purpose, step: Int, ordinals: Range<Int>, position: Int) throws -> [Prompt] {
        ScriptedWork.prompts(purpose, step: step, ordinals: ordinals, position: position)
    }
    func report(_ metrics: StepMetrics) throws {
        steps.append(metrics)
        onStep(metrics.step)
    }
    func report(_ evaluation: EvaluationReport) throws {}
    func rewind(toStep step: Int) throws { steps.removeAll { $0.step > step } }
    func forgetBlobs(before version: PolicyVersion) {}
    func removeBlobs(_ blobs: [BlobReference]) {}
    func note(_ note: Note) { notes.append(note.text) }
    func observe(_ coordinator: Coordinator, at now: MonotonicTime) { counters = coordinator.status.counters }
    func tend(at now: MonotonicTime) -> MonotonicTime? { nil }
    func objection(to hello: Hello, key: PublicKey?) -> String? { objection(hello, key) }
    func takeRevokedKeys() -> [PublicKey] {
        defer { revoked = [] }
        return revoked
    }
    func takeEndedProcesses() -> [Int32] {
        defer { dead = [] }
        return dead
    }
}

/// One worker: three threads, as in its process.
final class ScriptedWorker: Sendable {
    private let thread: NamedThread
    private let leave: WakePipe

    init<Link: ClientLink & SendableMetatype & ~Copyable>(
        _ name: String, roles: [WorkerRole], process: Int32, folder: String, failures: Failures = Failures(0),
        makeLink: @escaping @Sendable () throws -> Link
    ) throws {
        let wake = try WakePipe()
        leave = wake
        thread = try NamedThread(name) {
            do {
                let answers = Mailbox<ComputeAnswer>(wake: { wake.wake() })
                let blobAnswers = Mailbox<BlobAnswer>(wake: { wake.wake() })
                let compute = try ComputeThread(answers: answers) { ScriptedWorkbench(failures: failures) }
                let blobs = try BlobThread(
                    answers: blobAnswers, context: try Context(), coordinatorAddress: .ipc(path: folder + "/unused"),
                    cacheDirectory: folder + "/cache-" + name, isLearner: roles.contains(.learner))
                let hello = Hello(
                    protocolVersion: .current, worker: name, host: ProcessInfo.processInfo.hostName,
                    processIdentifier: process, roles: roles, threads: 1, rolloutSlots: 2, verificationSlots: 2,
                    kernel: "scripted")
                var loop = WorkerLoop(
                    link: try makeLink(), core: WorkerCore(hello: hello), wake: wake, compute: compute,
                    answers: answers, blobs: blobs, blobAnswers: blobAnswers, log: { _ in })
                _ = loop.run(parent: nil)
                compute.stop()
                blobs.stop()
                compute.join()
                blobs.join()
            } catch {
                preconditionFailure("worker \(name): \(error)")
            }
        }
    }

    func join() { thread.join() }
}

enum ScriptedRun {
    static func options(steps: Int = 3) -> RunOptions {
        var options = RunOptions()
        options.rollout.promptsPerStep = 3
        options.rollout.groupSize = 4
        options.schedule.steps = steps
        options.evaluation.everySteps = 0
        options.optimizer.decay = .linear
        options.cluster.heartbeatSeconds = 0.2
        return options
    }

    /// The final weights of a run in one expression each: no cluster, no messages, no threads.
    static func predictedHashes(_ options: RunOptions) -> [Digest] {
        var learner = ScriptedLearner(from: ScriptedWork.basePolicy)
        var hashes: [Digest] = []
        let count = options.rollout.promptsPerStep
        for step in 1...options.schedule.steps {
            let prompts = ScriptedWork.prompts(
                .training, step: step, ordinals: 0..<count, position: (step - 1) * count)
            let groups = prompts.map { prompt in
                let completions = ScriptedWork.completions(
                    for: RolloutAssignment(
                        prompt: prompt, groupSize: options.rollout.groupSize, version: learner.version,
                        sampling: options.rollout.sampling, seed: options.seed),
                    weights: learner.weights)
                let verdicts = ScriptedWork.verdicts(
                    for: VerificationAssignment(
                        key: prompt.key, promptText: prompt.text, answer: prompt.answer,
                        completions: completions.map(\.text)))
                return CompletionGroup(
                    prompt: prompt, completions: completions, verdicts: verdicts, rewards: verdicts.map(\.score))
            }
            let rate = LearningRate.rate(step: step, of: options.schedule.steps, options: options.optimizer)
            hashes.append(
                learner.train(
                    TrainingAssignment(
                        step: step, base: learner.version, groupCount: count, learningRate: rate, checkpoint: false),
                    groups
                ).manifest.weightsHash)
        }
        return hashes
    }

    /// Blobs of the size the manifest says; what is in them plays no part.
    static func store(_ manifest: PolicyManifest, in folder: String) {
        for blob in [manifest.weights, manifest.optimizer].compactMap(\.self) {
            let bytes = Data(repeating: 0, count: blob.byteCount)
            precondition(FileManager.default.createFile(atPath: "\(folder)/\(blob.digest)", contents: bytes))
        }
    }

    static func folder() throws -> String {
        let folder = NSTemporaryDirectory() + "/rk-loop-\(UInt32.random(in: 0 ..< .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return folder
    }

    static func core(_ options: RunOptions, folder: String) -> Coordinator {
        let bundle = BlobReference(digest: Fingerprint(9).digest, byteCount: 10)
        let proof = ".seen"
        precondition(FileManager.default.createFile(atPath: "\(folder)/\(proof)", contents: nil))
        precondition(
            FileManager.default.createFile(atPath: "\(folder)/\(bundle.digest)", contents: Data(count: 10)))
        store(ScriptedWork.basePolicy, in: folder)
        let welcome = Welcome(
            run: "scripted", options: options, modelBundle: bundle, blobAddress: "ipc://\(folder)/unused",
            blobDirectory: folder, blobDirectoryProof: proof)
        return Coordinator(
            options: options,
            start: RunStart(
                run: "scripted",
                checkpoint: Checkpoint(step: 0, manifest: ScriptedWork.basePolicy, nextPosition: 0), welcome: welcome))
    }
}
