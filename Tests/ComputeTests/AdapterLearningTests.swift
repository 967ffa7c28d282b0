// Do a learner of adapters and a sampler that only got its blobs compute the same bits, and does a resumed learner?
@testable import Compute
import Cluster
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// One process's view of a run: what it holds, over a folder of blobs that may be shared.
final class Host {
    let policies: PolicyHolder
    let work: LearningWork
    let options: RunOptions

    init(_ ground: Ground, _ options: RunOptions, threads: Int = 2) throws {
        self.options = options
        policies = PolicyHolder(
            config: Ground.config, blobs: try BlobStore(directory: ground.folder),
            threads: ThreadPool(threadCount: threads), arithmetic: try Arithmetic(options.model.precision))
        work = LearningWork(policies: policies, options: options)
    }

    /// Six groups of eight completions of the version held.
    func sample(step: Int) throws -> [CompletionGroup] {
        let parameters = try #require(policies.sampling)
        let version = try #require(policies.samplingManifest).version
        let generator = Generator(
            backend: Decoder(model: policies.model(over: parameters)), batchLimit: 16, decode: { _ in [] })
        let prompts = (0..<6).map { group in
            Prompt(
                key: GroupKey(purpose: .training, step: step, ordinal: group),
                tokens: (0...(5 * group)).map { Int32(7 * ($0 + group) % 61) }, text: "", answer: "", source: "")
        }
        for (index, prompt) in prompts.enumerated() {
            generator.submit(
                GenerationRequest(
                    identifier: UInt64(index), key: prompt.key, prompt: prompt.tokens,
                    completionIndices: Array(0..<8), sampling: options.rollout.sampling, seed: 2, version: version,
                    endTokens: []))
        }
        var finished: [UInt64: [GeneratedCompletion]] = [:]
        while !generator.isIdle {
            for event in generator.step() {
                if case .finished(let identifier, let completions) = event { finished[identifier] = completions }
            }
        }
        return try prompts.enumerated().map { index, prompt in
            let completions = try #require(finished[UInt64(index)]).map {
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

    func train(_ step: Int, _ groups: [CompletionGroup], checkpoint: Bool = false) throws -> TrainingReport {
        try work.train(
            TrainingAssignment(
                step: step, base: PolicyVersion(UInt64(step - 1)), groupCount: groups.count, learningRate: 1e-2,
                checkpoint: checkpoint),
            groups: groups, progress: { _ in })
    }
}

final class Ground {
    static let config = ModelConfig(
        family: .llama, vocabularySize: 61, hiddenSize: 24, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
        headDimension: 6, intermediateSize: 40, rmsEpsilon: 1e-5, rotaryBase: 10000, contextTokens: 512,
        tiedEmbeddings: true)
    let folder = NSTemporaryDirectory() + "adapter-learning-tests-" + UUID().uuidString
    let base: PolicyManifest

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let parameters = Parameters(config: Ground.config)
        parameters.initializeRandom(seed: 9, standardDeviation: 0.3)
        let written = try Snapshot.write(config: Ground.config, parameters: parameters.values, to: folder)
        base = PolicyManifest(version: .base, weightsHash: written.weightsHash, weights: written.blob)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it

    static func options(_ precision: Precision = .bfloat16, _ state: OptimizerOptions.State = .float32) -> RunOptions {
        var options = RunOptions()
        options.model.precision = precision
        options.optimizer.state = state
        options.optimizer.recompute = .blocks
        options.optimizer.learningRate = 1e-2
        options.rollout.sampling.temperature = 0.7
        options.rollout.sampling.maxNewTokens = 40
        options.lora = LoRAOptions()
        options.lora?.rank = 4
        return options
    }
}

private func metric(_ report: TrainingReport, _ name: String) -> Double? {
    report.metrics.first { $0.name == name }?.value
}

@Suite struct AdapterLearningTests {
    @Test func `a sampler that holds base and adapters has the learner's bits, so the ratio is exactly 1`() throws {
        let ground = try Ground()
        let learner = try Host(ground, Ground.options())
        let sampler = try Host(ground, Ground.options(), threads: 1)
        var manifest = ground.base
        for step in 1...3 {
            #expect(try learner.policies.load(manifest, samplingApart: false) == manifest.weightsHash)
            #expect(try sampler.policies.load(manifest, samplingApart: false) == manifest.weightsHash)
            let report = try learner.train(step, try sampler.sample(step: step))
            #expect(metric(report, "importance_ratio_max") == 1 && metric(report, "tokens_learned")! > 500)
            #expect(report.manifest.weightsHash != manifest.weightsHash)
            manifest = report.manifest
            // Adapters alone: 2 layers of 4·(24 + 24), 2·4·(24 + 12), 4·(24 + 24), 2·4·(24 + 40), 4·(40 + 24) numbers.
            #expect(manifest.weights.byteCount - 4 * 2 * (192 + 288 + 192 + 512 + 256) < 6000)
        }
        _ = try sampler.policies.load(manifest, samplingApart: false)
        let bits = [learner.policies.learning, sampler.policies.sampling].map { $0!.values.map(\.bitPattern) }
        let same = bits[0] == bits[1]
        #expect(same)
    }

    @Test(arguments: Precision.allCases, OptimizerOptions.State.allCases)
    func `a learner that starts again from a checkpoint makes the same weights`(
        _ precision: Precision, _ state: OptimizerOptions.State
    ) throws {
        let ground = try Ground()
        let options = Ground.options(precision, state)
        let first = try Host(ground, options)
        _ = try first.policies.load(ground.base, samplingApart: false)
        let one = try first.train(1, try first.sample(step: 1), checkpoint: true)
        let optimizer = try #require(one.manifest.optimizer)
        #expect(optimizer.byteCount < 8 * 2 * 1440 + 12_000, "state of the adapters alone")
        let groups = try first.sample(step: 2)
        let two = try first.train(2, groups)

        let second = try Host(ground, options, threads: 3)
        _ = try second.policies.load(one.manifest, samplingApart: false)
        second.policies.restartLearning(one.manifest)
        #expect(try second.train(2, groups).manifest.weightsHash == two.manifest.weightsHash)
    }

    @Test func `a step without a gradient before any adapter exists publishes the base`() throws {
        let ground = try Ground()
        let learner = try Host(ground, Ground.options())
        _ = try learner.policies.load(ground.base, samplingApart: false)
        var groups = try learner.sample(step: 1)
        for index in groups.indices { groups[index].rewards = groups[index].rewards.map { _ in 0 } }
        let report = try learner.train(1, groups, checkpoint: true)
        #expect(report.manifest.weights == ground.base.weights)
        let again = try Host(ground, Ground.options())
        _ = try again.policies.load(report.manifest, samplingApart: false)
        again.policies.restartLearning(report.manifest)
        let next = try learner.sample(step: 2)
        #expect(try learner.train(2, next).manifest.weightsHash == again.train(2, next).manifest.weightsHash)
    }

    @Test func `adapters of another rank are refused in words`() throws {
        let ground = try Ground()
        let first = try Host(ground, Ground.options())
        _ = try first.policies.load(ground.base, samplingApart: false)
        let one = try first.train(1, try first.sample(step: 1))
        var options = Ground.options()
        options.lora?.rank = 8
        let other = try Host(ground, options)
        _ = try other.policies.load(one.manifest, samplingApart: false)
        let groups = try other.sample(step: 2)
        #expect {
            _ = try other.train(2, groups)
        } throws: { "\($0)".contains("expected rank 8, alpha 32.0") }
    }
}
