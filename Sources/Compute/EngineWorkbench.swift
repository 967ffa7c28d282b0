// What a worker's compute thread does with the engine: which order goes where, and which weights are held.

import Cluster
import Engine
import Rollouts
import Tokenization
import Verifiers
import Weights

/// The real workbench. Weights exist once per process: a worker that both samples and learns samples from the
/// learner's own parameters, unless the schedule lets sampling lag behind (`lag` > 0); then it keeps two sets.
package final class EngineWorkbench: Workbench {
    private let threads: ThreadPool
    private var session: Session?
    private var queue: [(lease: LeaseIdentifier, order: WorkOrder)] = []

    /// - Parameter threadCount: threads of the compute pool, at least 1.
    package init(threadCount: Int) {
        threads = ThreadPool(threadCount: threadCount)
    }

    /// What this host computes with, for `worker info` and the hello.
    package static var kernelName: String {
        let exact: String
        do throws(KernelChoiceError) {
            exact = try KernelChoice.current.name
        } catch {
            exact = "none"
        }
        return "bfloat16 \(exact), float32 OpenBLAS \(BLAS.kernelName)"
    }

    /// Everything that belongs to one welcome.
    private struct Session {
        var run: String
        var modelBundle: BlobReference
        var options: RunOptions
        var verifier: any Verifier
        var sampling: SamplingWork
        var learning: LearningWork
        var policies: PolicyHolder

        func belongs(to welcome: Welcome) -> Bool {
            run == welcome.run && options == welcome.options && modelBundle == welcome.modelBundle
        }
    }

    package func configure(_ welcome: Welcome, bundle: [UInt8], blobDirectory: String) throws {
        if let session, session.belongs(to: welcome) {
            // The same run again (its coordinator restarted): only where blobs lie may have changed. Weights, learner
            // and work in hand stay, as the worker's core says in its hello.
            session.policies.blobs = try BlobStore(directory: blobDirectory)
            return
        }
        let model: ModelBundle
        let tokenizer: Tokenizer
        do {
            model = try ModelBundle.decode(bundle)
        } catch {
            throw ComputeError.bundle("\(error)")
        }
        tokenizer = try Tokenizer.deserialize([UInt8](model.tokenizer))
        let blobs = try BlobStore(directory: blobDirectory)
        let options = welcome.options
        let policies = PolicyHolder(
            config: model.config, blobs: blobs, threads: threads,
            arithmetic: try Self.arithmetic(options.model.precision))
        session = Session(
            run: welcome.run, modelBundle: welcome.modelBundle, options: options,
            verifier: try makeVerifier(options.verifier),
            sampling: SamplingWork(
                policies: policies, tokenizer: tokenizer, batchLimit: options.rollout.batchLimit, threads: threads),
            learning: LearningWork(policies: policies, options: options),
            policies: policies)
        queue = []
    }

    private static func arithmetic(_ precision: Precision) throws(ComputeError) -> Arithmetic {
        do throws(KernelChoiceError) {
            return try Arithmetic(precision)
        } catch {
            throw ComputeError.text("model.precision \(precision.rawValue): \(error)")
        }
    }

    package func load(_ manifest: PolicyManifest) throws -> Digest {
        guard let session else { throw ComputeError.notConfigured }
        do {
            let hash = try session.policies.load(manifest, samplingApart: session.options.schedule.samplesApart)
            session.sampling.policyChanged()
            return hash
        } catch {
            // What was held may be half overwritten.
            session.sampling.policyLost()
            throw error
        }
    }

    package func restartLearner(_ manifest: PolicyManifest) {
        session?.policies.restartLearning(manifest)
        session?.learning.restart()
    }

    package func start(_ lease: LeaseIdentifier, _ order: WorkOrder) {
        if case .rollout(let assignment) = order, let session {
            session.sampling.submit(lease, assignment)
        } else {
            queue.append((lease, order))
        }
    }

    package func cancel(_ lease: LeaseIdentifier) {
        queue.removeAll { $0.lease == lease }
        session?.sampling.cancel(lease)
    }

    package var isIdle: Bool { queue.isEmpty && (session?.sampling.isIdle ?? true) }

    package func advance(report: (WorkOutcome) -> Void) {
        guard !queue.isEmpty else {
            session?.sampling.advance(report: report)
            return
        }
        let (lease, order) = queue.removeFirst()
        do throws(ComputeError) {
            try perform(order, lease: lease, report: report)
        } catch {
            if case .disputed(let keys, let reason) = error {
                return report(.finished(lease, .disputed(keys, reason: reason), blobs: []))
            }
            report(.finished(lease, .failed(reason: "\(error)", retryable: error.isRetryable), blobs: []))
        }
    }

    private func perform(
        _ order: WorkOrder, lease: LeaseIdentifier, report: (WorkOutcome) -> Void
    ) throws(ComputeError) {
        guard let session else { throw ComputeError.notConfigured }
        let clock = ContinuousClock()
        let begin = clock.now
        func elapsed() -> Double { (clock.now - begin).inSeconds }
        let progress: (UInt64) -> Void = { report(.progress(lease, unitsDone: $0)) }
        switch order {
        case .rollout:
            preconditionFailure("rollouts go to the generator when they arrive")
        case .verify(let assignment):
            let verdicts = assignment.completions.map {
                session.verifier.verify(completion: $0, answer: assignment.answer, prompt: assignment.promptText)
            }
            report(.finished(lease, .verdicts(verdicts, seconds: elapsed()), blobs: []))
        case .score(let assignment):
            let logProbs = try session.sampling.score(assignment)
            report(.finished(lease, .scored(logProbs), blobs: []))
        case .train(let assignment, let groups):
            let result = try session.learning.train(assignment, groups: groups, progress: progress)
            report(.finished(lease, .trained(result, seconds: elapsed()), blobs: result.manifest.blobs))
        case .gradient(let assignment, let groups):
            let part = try session.learning.gradient(assignment, groups: groups, lease: lease, progress: progress)
            report(
                .finished(
                    lease, .gradient(step: assignment.step, part, seconds: elapsed()),
                    blobs: part.blob.map { [$0] } ?? []))
        case .pretrain(let assignment):
            let result = try session.learning.pretrain(assignment, progress: progress)
            report(.finished(lease, .trained(result, seconds: elapsed()), blobs: result.manifest.blobs))
        case .saveCheckpoint:
            let result = try session.learning.checkpoint()
            report(.finished(lease, .trained(result, seconds: elapsed()), blobs: result.manifest.blobs))
        }
    }
}

extension PolicyManifest {
    var blobs: [BlobReference] { [weights] + (optimizer.map { [$0] } ?? []) }
}

/// What can go wrong in a worker's own work.
package enum ComputeError: Error, CustomStringConvertible {
    case notConfigured
    case bundle(String)
    case wrongPolicy(held: PolicyVersion?, wanted: PolicyVersion)
    case weights(WeightsError)
    case gradientNotFinite(step: Int)
    /// This learner was told to use a part of a gradient that it does not have in memory.
    case partNotHeld(ShardRange)
    /// These groups were not sampled from the policy being trained, or not by the same arithmetic.
    case disputed([GroupKey], String)
    case text(String)

    /// Whether another worker, or this one later, may succeed.
    var isRetryable: Bool {
        switch self {
        case .gradientNotFinite, .disputed, .text: false
        case .notConfigured, .bundle, .wrongPolicy, .weights, .partNotHeld: true
        }
    }

    package var description: String {
        switch self {
        case .notConfigured: "work arrived before the welcome"
        case .bundle(let reason): "the model bundle cannot be read: \(reason)"
        case .wrongPolicy(let held, let wanted):
            "policy version \(wanted.rawValue) was asked for, but "
                + (held.map { "version \($0.rawValue) is held" } ?? "none is held")
        case .weights(let error): "\(error)"
        case .gradientNotFinite(let step):
            "step \(step): the gradient is not finite; lower optimizer.learning_rate, or look for broken rewards"
        case .partNotHeld(let shards):
            "the gradient of shards \(shards.shards) is not in this learner's memory any more"
        case .disputed(_, let reason), .text(let reason): reason
        }
    }
}
