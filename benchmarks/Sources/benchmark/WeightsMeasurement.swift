// Versions of a model's weights made and handed out in this process: prints its readings as one line.

import ArgumentParser
import Engine
import Foundation
import Measurement
import Rollouts
import Synchronization
import Transport
import Weights

struct WeightsMeasurement: ParsableCommand {
    static let name = "measure-weights"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @OptionGroup var options: CommonOptions
    @Option var updates: Int
    @Option var workers: Int

    func run() throws {
        let folder = NSTemporaryDirectory() + "rookery-benchmark-weights-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it
        let head = try WeightsHead(folder: folder)
        let learner = try VersionMaker(options, store: head.blobs)
        var readings = Readings()
        var parent = try learner.version(learningRate: nil)
        // A worker at work has had a version before: its memory is there.
        let places = (0..<workers).map { _ in SamplerPlace(learner.config) }
        for place in places { _ = try place.load(head.blobs.path(for: parent.manifest.weights), parent.manifest) }
        for rate in [1e-6, 2e-5] {
            for _ in 0..<updates {
                let made = try learner.version(learningRate: rate)
                let difference = try compare(parent, made, head, &readings)
                readings["share_at_\(rate == 1e-6 ? "1e-6" : "2e-5")"].append(
                    Double(difference.byteCount) / Double(made.manifest.weights.byteCount))
                if rate == 1e-6 {
                    readings["write"].append(made.seconds)
                    readings["write_again"].append(made.secondsAgain)
                    readings["bytes_at_1e-6"].append(Double(difference.byteCount))
                    readings["whole_bytes"] = [Double(made.manifest.weights.byteCount)]
                    try handOut(made, after: parent, head, places, &readings)
                }
                try head.forget(parent.manifest)
                parent = made
            }
        }
        print(readings.line)
    }

    /// The readings' parts that one thread's worth of work does alone.
    private func compare(
        _ parent: MadeVersion, _ made: MadeVersion, _ head: WeightsHead, _ readings: inout Readings
    ) throws -> BlobReference {
        let scratch = try BlobStore(directory: head.folder + "/scratch")
        var found: BlobReference?
        readings["compare"].append(
            try timed {
                found = try WeightsDifference.make(
                    from: parent.manifest.weights, to: made.manifest.weights, in: head.blobs, into: scratch,
                    limitBytes: .max)
            })
        guard let found else { throw BenchmarkError("two versions of one model have no difference") }
        try scratch.link(head.blobs.path(for: parent.manifest.weights), as: parent.manifest.weights)
        let difference = try WeightsDifference(file: scratch.path(for: found))
        readings["apply"].append(try timed { try difference.apply(in: scratch, durable: false) })
        for blob in try scratch.list() { try scratch.remove(blob) }
        return found
    }

    private func handOut(
        _ made: MadeVersion, after parent: MadeVersion, _ head: WeightsHead, _ places: [SamplerPlace],
        _ readings: inout Readings
    ) throws {
        let file = head.blobs.path(for: made.manifest.weights)
        let alone = try places[0].load(file, made.manifest)
        readings["verify"].append(alone.verify)
        readings["pack"].append(alone.pack)
        let ready = try timed {
            try atOnce(workers) { _ = try places[$0].load(file, made.manifest) }
        }
        readings["local_ready"].append(made.seconds + ready)
        readings["local_ready_again"].append(made.secondsAgain + ready)

        let remote = try (0..<workers).map { _ in try RemoteCache(head) }
        for worker in remote { try worker.fetch([parent.manifest]) }
        try fetch(made, remote, places, "tcp_difference", &readings)
        let late = try (0..<workers).map { _ in try RemoteCache(head) }
        try fetch(made, late, places, "tcp_whole", &readings)
    }

    /// Seconds until the last has it stored, and, from the end of learning, until the last has it proved and packed.
    private func fetch(
        _ made: MadeVersion, _ caches: [RemoteCache], _ places: [SamplerPlace], _ name: String,
        _ readings: inout Readings
    ) throws {
        let fetched = Mutex(0.0)
        let start = monotonicNanoseconds()
        for cache in caches { cache.order(made.manifest) }
        // Each packs as soon as it has it.
        try atOnce(caches.count) { index in
            try caches[index].wait()
            fetched.withLock { $0 = seconds(since: start) }
            _ = try places[index].load(caches[index].path(made.manifest), made.manifest)
        }
        readings["\(name)_fetched"].append(fetched.withLock { $0 })
        readings["\(name)_ready"].append(made.seconds + seconds(since: start))
    }

    /// Bytes of a bfloat16 snapshot, near enough.
    static func snapshotBytes(of model: String) throws -> Int {
        try ModelSource.open(model).config.tensors.reduce(0) {
            $0 + $1.elementCount * ($1.dimensions.count > 1 ? 2 : 4)
        }
    }
}

/// Runs `body` for each index on a thread of its own.
func atOnce(_ count: Int, _ body: (Int) throws -> Void) throws {
    let failure = Failure()
    try withoutActuallyEscaping(body) { body in
        // Guard: every thread has ended before this returns.
        nonisolated(unsafe) let body = body
        let threads = try (0..<count).map { index in
            try NamedThread("worker-\(index)") {
                do {
                    try body(index)
                } catch {
                    failure.first.withLock { $0 = $0 ?? error }
                }
            }
        }
        for thread in threads { thread.join() }
    }
    if let error = failure.first.withLock({ $0 }) { throw error }
}

private final class Failure: Sendable {
    let first = Mutex<(any Error)?>(nil)
}

struct MadeVersion: Sendable {
    var manifest: PolicyManifest
    /// To write it.
    var seconds: Double
    /// To write it once more, into the memory that the first file gave back. Where the machine is rented, memory that
    /// nobody used for a while is its host's, and a page of it can take ten times as long.
    var secondsAgain: Double
}

/// A learner that makes one version after another.
private final class VersionMaker {
    private let trainer: Trainer
    private let groups: [SequenceGroup]
    private let store: BlobStore
    private var version: UInt64 = 0
    let config: ModelConfig

    init(_ options: CommonOptions, store: BlobStore) throws {
        let workload = LearnWorkload(quick: options.quick)
        let model = try BenchmarkModel(
            path: options.model, threads: options.threads, precision: .bfloat16, for: .learning)
        trainer = Trainer(model: model.transformer(), options: OptimizerOptions())
        config = model.parameters.config
        self.store = store
        groups = (0..<workload.groups).map { group in
            SequenceGroup(
                prompt: model.tokens(workload.promptTokens, of: group),
                completions: (0..<workload.groupSize).map {
                    model.tokens(workload.newTokens, of: 1000 + group * workload.groupSize + $0)
                })
        }
    }

    /// - Parameter learningRate: nil writes the model as it is.
    func version(learningRate: Double?) throws -> MadeVersion {
        if let learningRate {
            for group in groups {
                // ∂loss/∂log-prob of on-policy GRPO: minus the advantage over the number of tokens.
                trainer.accumulate([group], temperature: 1) { scores in
                    let each = scores.logProbs.count / group.completions.count
                    let gradient = scores.logProbs.indices.map { index -> Float in
                        (index / each % 2 == 0 ? -1 : 1) / Float(scores.logProbs.count * self.groups.count)
                    }
                    return TokenGradients(logProbs: gradient, entropies: nil)
                }
            }
            let norm = trainer.update(learningRate: learningRate)
            guard norm.isFinite, norm > 0 else { throw BenchmarkError("the gradient norm is \(norm)") }
            version += 1
        }
        let (first, seconds) = try write()
        try FileManager.default.removeItem(atPath: first.path)
        let (written, secondsAgain) = try write()
        return MadeVersion(
            manifest: PolicyManifest(
                version: PolicyVersion(version), weightsHash: written.weightsHash, weights: written.blob),
            seconds: seconds, secondsAgain: secondsAgain)
    }

    private func write() throws -> (Snapshot.Written, seconds: Double) {
        var written: Snapshot.Written?
        let seconds = try timed {
            written = try Snapshot.write(
                config: config, parameters: trainer.model.parameters.values, format: .bfloat16, durable: false,
                to: store.directory)
        }
        guard let written else { throw BenchmarkError("no snapshot was written") }
        return (written, seconds)
    }
}

/// Where one sampler has its packed weights. One thread at a time; each place has its own.
private final class SamplerPlace: @unchecked Sendable {
    private let parameters: Parameters
    private let threads = ThreadPool(threadCount: 1)
    private let config: ModelConfig

    init(_ config: ModelConfig) {
        self.config = config
        parameters = Parameters(sampling: config)
    }

    func load(_ file: String, _ manifest: PolicyManifest) throws -> (verify: Double, pack: Double) {
        let start = monotonicNanoseconds()
        let snapshot = try MappedSnapshot(file: file, config: config, expecting: manifest.weightsHash)
        let verify = seconds(since: start)
        let pack = timed { parameters.fill(from: snapshot, threads: threads) }
        return (verify, pack)
    }
}
