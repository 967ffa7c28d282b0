// Under bfloat16, does a step learn only from the sampler's own numbers, and the same whatever the token budget is?
@testable import Compute
import Cluster
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// A learner over a small random model, and groups that its own policy sampled.
private final class Bench {
    let work: LearningWork
    private let policies: PolicyHolder
    let groups: [CompletionGroup]
    let manifest: PolicyManifest
    let folder: String
    private let options: RunOptions

    init(precision: Precision = .bfloat16, tokenBudget: Int = 2048) throws {
        folder = NSTemporaryDirectory() + "compute-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let config = ModelConfig(
            family: .llama, vocabularySize: 61, hiddenSize: 24, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
            headDimension: 6, intermediateSize: 40, rmsEpsilon: 1e-5, rotaryBase: 10000, contextTokens: 512,
            tiedEmbeddings: true)
        let parameters = Parameters(config: config)
        parameters.initializeRandom(seed: 9, standardDeviation: 0.3)
        var options = RunOptions()
        options.model.precision = precision
        options.optimizer.tokenBudget = tokenBudget
        options.optimizer.learningRate = 1e-2
        options.rollout.sampling.temperature = 0.7
        options.rollout.sampling.maxNewTokens = 100
        let threads = ThreadPool(threadCount: 2)
        let arithmetic = try Arithmetic(precision)
        policies = PolicyHolder(
            config: config, blobs: try BlobStore(directory: folder), threads: threads, arithmetic: arithmetic)
        let written = try Snapshot.write(
            config: config, parameters: parameters.values, format: SnapshotFormat(precision), to: folder)
        manifest = PolicyManifest(version: .base, weightsHash: written.weightsHash, weights: written.blob)
        _ = try policies.load(manifest, samplingApart: false)
        self.options = options
        work = LearningWork(policies: policies, options: options)
        groups = Bench.sample(
            TransformerModel(parameters: parameters, threads: threads, arithmetic: arithmetic), options)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it

    /// Six groups of eight completions, 4,800 tokens: five units at least.
    private static func sample(_ model: TransformerModel, _ options: RunOptions) -> [CompletionGroup] {
        let generator = Generator(backend: Decoder(model: model), batchLimit: 16, decode: { _ in [] })
        let prompts = (0..<6).map { group in
            Prompt(
                key: GroupKey(purpose: .training, step: 1, ordinal: group),
                tokens: (0...(5 * group)).map { Int32(7 * ($0 + group) % 61) }, text: "", answer: "", source: "")
        }
        for (index, prompt) in prompts.enumerated() {
            generator.submit(
                GenerationRequest(
                    identifier: UInt64(index), key: prompt.key, prompt: prompt.tokens,
                    completionIndices: Array(0..<8), sampling: options.rollout.sampling, seed: 2, version: .base,
                    endTokens: []))
        }
        var finished: [UInt64: [GeneratedCompletion]] = [:]
        while !generator.isIdle {
            for event in generator.step() {
                if case .finished(let identifier, let completions) = event { finished[identifier] = completions }
            }
        }
        return prompts.enumerated().map { index, prompt in
            let completions = finished[UInt64(index)]!.map {
                Completion(
                    index: $0.index, tokens: $0.tokens, sampledLogProbs: $0.sampledLogProbs,
                    policyLogProbs: $0.policyLogProbs, entropies: $0.entropies, versions: $0.versions, text: "",
                    finish: $0.finish)
            }
            let right = completions.map { $0.tokens[0] % 2 == 0 }
            return CompletionGroup(
                prompt: prompt, completions: completions, verdicts: right.map { $0 ? .right("") : .wrong("") },
                rewards: right.map { $0 ? 1 : 0 })
        }
    }

    func train(
        _ groups: [CompletionGroup], step: Int = 1, checkpoint: Bool = false, with work: LearningWork? = nil
    ) throws(ComputeError) -> TrainingReport {
        try (work ?? self.work).train(
            TrainingAssignment(
                step: step, base: PolicyVersion(UInt64(step - 1)), groupCount: groups.count, learningRate: 1e-2,
                checkpoint: checkpoint), groups: groups, progress: { _ in })
    }

    /// A learner that has only what the blobs say of a version.
    func learner(from manifest: PolicyManifest) throws -> LearningWork {
        let policies = PolicyHolder(
            config: self.policies.config, blobs: try BlobStore(directory: folder), threads: self.policies.threads,
            arithmetic: self.policies.arithmetic)
        _ = try policies.load(manifest, samplingApart: false)
        return LearningWork(policies: policies, options: options)
    }
}

@Suite struct ExactLearningTests {
    @Test func `the token budget changes no bit of the weights`() throws {
        var hashes: Set<Digest> = []
        for budget in [1, 900, 2048, 100_000] {
            let bench = try Bench(tokenBudget: budget)
            let report = try bench.train(bench.groups)
            #expect(report.metrics.first { $0.name == "importance_ratio_max" }?.value == 1)
            #expect(report.metrics.first { $0.name == "tokens_learned" }!.value > 3000)
            hashes.insert(report.manifest.weightsHash)
        }
        #expect(hashes.count == 1)
    }

    /// What is rounded for those who sample is not rounded for who learns on.
    @Test func `a learner that goes on from a checkpoint has the first one's bits`() throws {
        let bench = try Bench()
        let first = try bench.train(bench.groups, checkpoint: true)
        let second = try bench.learner(from: first.manifest)
        // The second step's groups are the first's, off-policy: exactness of the ratio is not asked of them.
        let continued = try bench.train(bench.groups, step: 2)
        let resumed = try bench.train(bench.groups, step: 2, with: second)
        #expect(resumed.manifest.weightsHash == continued.manifest.weightsHash)
        #expect(resumed.manifest.weightsHash != first.manifest.weightsHash)
        // Without the float32 numbers behind the rounded ones, the step would end elsewhere.
        var plain = first.manifest
        plain.optimizer = nil
        let forgetful = try bench.train(bench.groups, step: 2, with: try bench.learner(from: plain))
        #expect(forgetful.manifest.weightsHash != continued.manifest.weightsHash)
    }

    @Test func `a log-prob that differs by one bit stops the step`() throws {
        let bench = try Bench()
        var groups = bench.groups
        let group = groups.indices.first { Set(groups[$0].rewards).count == 2 }!
        groups[group].completions[3].policyLogProbs[40] = groups[group].completions[3].policyLogProbs[40].nextDown
        #expect {
            _ = try bench.train(groups)
        } throws: { error in
            let text = "\(error)"
            return text.contains("step 1: the importance ratio") && text.contains("exactly 1 expected")
                && (error as? ComputeError)?.isRetryable == false && disputed(error) == [groups[group].prompt.key]
        }
    }

    private func disputed(_ error: any Error) -> [GroupKey] {
        if case .disputed(let keys, _)? = error as? ComputeError { keys } else { [] }
    }

    @Test func `a group that answers another prompt is named, and no other`() throws {
        let bench = try Bench()
        var groups = bench.groups
        let taught = groups.indices.filter { Set(groups[$0].rewards).count == 2 }
        let (one, two) = (taught[0], taught[1])
        groups[one].completions = bench.groups[two].completions
        groups[one].verdicts = bench.groups[two].verdicts
        groups[one].rewards = bench.groups[two].rewards
        #expect {
            _ = try bench.train(groups)
        } throws: { disputed($0) == [groups[one].prompt.key] }
        // The same learner trains the batch once it is as it should be, as if nothing had been.
        let trained = try bench.train(bench.groups).manifest.weightsHash
        let other = try Bench()
        #expect(try other.train(other.groups).manifest.weightsHash == trained)
    }

    @Test func `a log-prob too low to be true is disputed too`() throws {
        let bench = try Bench()
        var groups = bench.groups
        let group = groups.indices.first { Set(groups[$0].rewards).count == 2 }!
        groups[group].completions[0].policyLogProbs[0] = -1e30
        #expect {
            _ = try bench.train(groups)
        } throws: { disputed($0) == [groups[group].prompt.key] }
    }

    @Test func `tokens of an older policy may have any ratio`() throws {
        let bench = try Bench()
        var groups = bench.groups
        for group in groups.indices {
            for completion in groups[group].completions.indices {
                groups[group].completions[completion].versions = groups[group].completions[completion].versions
                    .map { _ in PolicyVersion(7) }
                for token in groups[group].completions[completion].policyLogProbs.indices {
                    groups[group].completions[completion].policyLogProbs[token] -= 0.01
                }
            }
        }
        #expect(try bench.train(groups).metrics.first { $0.name == "importance_ratio_max" }!.value > 1.005)
    }

    @Test func `float32 takes the sampler's numbers up to rounding`() throws {
        let bench = try Bench(precision: .float32)
        let ratio = try bench.train(bench.groups).metrics.first { $0.name == "importance_ratio_max" }!.value
        #expect(abs(ratio - 1) < 1e-3)
    }
}
