// What happens with the coordinator's decisions: the store, the logs, the screen, the blobs, the children.

import Cluster
import Datasets
import Foundation
import Rollouts
import RunStore
import Telemetry
import Transport
import Weights

/// The real shell of a run. Loop thread only.
package final class RunShell: CoordinatorShell {
    private let directory: RunDirectory
    private let options: RunOptions
    private let store: RunStore
    private let blobs: BlobStore
    private let checkpoints: CheckpointStore
    private let prompts: PromptSource
    private let bundle: [UInt8]
    private let workers: LocalWorkers?
    private let metrics: MetricsLog
    private let tensorBoard: TensorBoardWriter
    private let log: RunLogger
    private let screen: Screen
    private let statusFile: StatusFile
    private var rates = WorkerRates()
    /// Weights blobs by version, so that old ones can go. The base stays while KL needs it.
    private var published: [PolicyManifest]
    /// Where the run would go on from.
    private var checkpointVersion: PolicyVersion
    package private(set) var evaluations: [EvaluationReport]
    /// Where workers of other hosts come in; nil for a run that has no such door.
    package var gate: AccessGate?
    /// What is made for workers of other hosts goes with the versions that it is between.
    package var differences: StoredDifferences?
    /// Where commands of other processes come in.
    package var desk: RequestDesk?
    /// Listening without encryption or keys for other hosts: said once a minute.
    package var isOpen = false
    private var nextWarning = MonotonicTime.zero

    /// - Parameter policies: what blobs there may be, the one the run goes on from first.
    package init(
        directory: RunDirectory, options: RunOptions, store: RunStore, blobs: BlobStore, prompts: PromptSource,
        bundle: [UInt8], workers: LocalWorkers?, log: RunLogger, screen: Screen, policies: [PolicyManifest],
        evaluations: [EvaluationReport]
    ) throws {
        self.directory = directory
        self.options = options
        self.store = store
        self.blobs = blobs
        checkpoints = try CheckpointStore(directory: directory.checkpoints)
        self.prompts = prompts
        self.bundle = bundle
        self.workers = workers
        self.log = log
        self.screen = screen
        self.evaluations = evaluations
        metrics = try MetricsLog(path: directory.metrics)
        tensorBoard = try TensorBoardWriter(folder: directory.tensorBoard)
        statusFile = StatusFile(path: directory.status)
        published = policies
        checkpointVersion = policies.first?.version ?? .base
    }

    package var journal: any RecordJournal { store }

    /// A checkpoint's files are durable before the record that names them.
    package func prepare(_ records: [Record]) throws {
        for case .checkpointed(let checkpoint) in records { try writeCheckpoint(checkpoint) }
    }

    package func recorded(_ records: [Record]) throws {
        for case .stepTrained(_, let manifest, _, _) in records {
            published.append(manifest)
            forgetIntermediates(newest: manifest.version)
        }
        for case .checkpointed(let checkpoint) in records {
            if !published.contains(where: { $0.weights == checkpoint.manifest.weights }) {
                published.append(checkpoint.manifest)
            }
            checkpointVersion = checkpoint.manifest.version
            // Its own hard link keeps the optimizer's bytes; the blob is not needed twice.
            if checkpoint.manifest.optimizer != nil { try removeUnneededOptimizers(except: checkpoint) }
            try checkpoints.prune(keeping: options.checkpoint.keep)
        }
    }

    package func drawPrompts(
        _ purpose: Purpose, step: Int, ordinals: Range<Int>, position: Int
    ) throws -> [Prompt] {
        precondition(purpose == .training, "evaluation prompts are drawn at the start")
        return try prompts.training(step: step, ordinals: ordinals, position: position)
    }

    package func report(_ step: StepMetrics) throws {
        try metrics.append(step)
        try tensorBoard.append(step)
        screen.show(step)
    }

    package func report(_ evaluation: EvaluationReport) throws {
        evaluations.append(evaluation)
        try metrics.append(evaluation)
        try tensorBoard.append(evaluation)
        screen.show(evaluation)
    }

    package func rewind(toStep step: Int) throws {
        try store.rewind(toStep: step)
        try metrics.truncate(afterStep: step)
        try tensorBoard.rewind(toStep: step)
        evaluations.removeAll { $0.step > step }
    }

    /// Writes what a killed coordinator had stored and not yet said. Once, before anything else is reported.
    package func reportUnsaid() throws {
        try UnsaidReports.write(from: store, to: metrics, tensorBoard)
    }

    package func forgetBlobs(before version: PolicyVersion) {
        let newest = published.map(\.version).max() ?? version
        forgetBlobs { $0 < version && !isRecent($0, newest: newest) }
    }

    package func removeBlobs(_ blobs: [BlobReference]) {
        for blob in blobs {
            do {
                try self.blobs.remove(blob)
            } catch {
                note(Note(.warning, "a part of a gradient could not be removed: \(error)"))
            }
        }
    }

    /// However rare checkpoints are, the folder stays small: between the checkpoint with its lag and the newest
    /// versions with theirs nothing is needed, because going back to the checkpoint makes those versions again.
    private func forgetIntermediates(newest: PolicyVersion) {
        forgetBlobs { [checkpointVersion] in $0 > checkpointVersion && !isRecent($0, newest: newest) }
    }

    /// One more than the lag stays, for workers that are just fetching it or come from it to the next by what differs.
    private func isRecent(_ version: PolicyVersion, newest: PolicyVersion) -> Bool {
        version.rawValue + UInt64(options.schedule.reach) + 1 >= newest.rawValue
    }

    private func forgetBlobs(where isOld: (PolicyVersion) -> Bool) {
        // Adapters are nothing without what they adapt.
        let keepBase = options.algorithm.klCoefficient > 0 || options.lora != nil
        let gone = published.filter { isOld($0.version) && !(keepBase && $0.version == .base) }
        published.removeAll { gone.contains($0) }
        for manifest in gone where !published.contains(where: { $0.weights == manifest.weights }) {
            differences?.forget(manifest.weights)
            do {
                try blobs.remove(manifest.weights)
            } catch {
                note(Note(.warning, "an old policy's file could not be removed: \(error)"))
            }
        }
    }

    package func note(_ note: Note) {
        log.log(note)
        screen.show(note)
    }

    package func observe(_ coordinator: Coordinator, at now: MonotonicTime) {
        let status = coordinator.status
        screen.show(status, at: now)
        do {
            try statusFile.write(
                run: directory.name, status, rates: rates.rates(of: status.workers, at: now), at: now)
        } catch {
            note(Note(.warning, "the status file could not be written: \(error)"))
        }
        do {
            try gate?.observe(status.workers, at: now)
        } catch {
            note(Note(.warning, "who is connected could not be stored: \(error)"))
        }
    }

    package func tend(at now: MonotonicTime) -> MonotonicTime? {
        for line in gate?.tend(at: now) ?? [] { note(line) }
        if isOpen, now >= nextWarning {
            nextWarning = now + .seconds(60)
            note(
                Note(.warning, "--insecure: no encryption, no keys; anyone who reaches this host can join the run"))
        }
        guard let workers else { return desk?.nextLook }
        do throws(RuntimeError) {
            try workers.reap(now: now)
        } catch {
            note(Note(.error, error.description))
        }
        for text in workers.takeNotes() { note(Note(.warning, text)) }
        return [workers.nextDeadline, desk?.nextLook].compactMap(\.self).min()
    }

    package func takeRequests(at now: MonotonicTime) -> [(number: UInt64, request: OperatorRequest)] {
        desk?.take(at: now) { note(Note(.warning, $0)) } ?? []
    }

    package func answer(_ answer: OperatorAnswer, number: UInt64) {
        do throws(RuntimeError) {
            try desk?.answer(answer, number: number)
        } catch {
            note(Note(.warning, error.description))
        }
    }

    package func retire(process: Int32, host: String) {
        if host == ProcessInfo.processInfo.hostName { workers?.retire(process: process) }
    }

    package func objection(to hello: Hello, key: PublicKey?) -> String? {
        key.flatMap { gate?.access.objection(to: hello, key: $0) }
    }

    package func takeRevokedKeys() -> [PublicKey] { gate?.takeRevokedKeys() ?? [] }

    package func takeEndedProcesses() -> [Int32] { workers?.takeEnded() ?? [] }

    /// The learner left these blobs behind; the newest checkpoint's are hard-linked into its folder.
    private func removeUnneededOptimizers(except checkpoint: Checkpoint) throws {
        for index in published.indices {
            guard let optimizer = published[index].optimizer, optimizer != checkpoint.manifest.optimizer else {
                continue
            }
            try blobs.remove(optimizer)
            published[index].optimizer = nil
        }
    }

    private func writeCheckpoint(_ checkpoint: Checkpoint) throws {
        let weights = checkpoint.manifest.weights
        try checkpoints.write(
            step: checkpoint.step, weights: weights, optimizer: checkpoint.manifest.optimizer,
            base: try AdapterSnapshot.describe(file: blobs.path(for: weights))?.base,
            state: StoredCheckpoint.encode(checkpoint, bundle: bundle), from: blobs)
    }
}
