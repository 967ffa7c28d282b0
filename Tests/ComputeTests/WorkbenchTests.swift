// What a workbench keeps when its coordinator comes back.

import Cluster
import Foundation
import Rollouts
import Testing
import Tokenization
import Weights

@testable import Compute

/// A workbench with a small random model behind a welcome.
private final class Bench {
    let workbench = EngineWorkbench(threadCount: 1)
    let folder = NSTemporaryDirectory() + "workbench-tests-" + UUID().uuidString
    let bundle: [UInt8]
    let manifest: PolicyManifest
    private let reference: BlobReference

    init() throws {
        let tokenizer = Tokenizer.bytes()
        let config = ModelConfig(
            family: .llama, vocabularySize: tokenizer.vocabularySize, hiddenSize: 16, layerCount: 1, headCount: 2,
            keyValueHeadCount: 1, headDimension: 8, intermediateSize: 32, rmsEpsilon: 1e-5, rotaryBase: 10000,
            contextTokens: 64, tiedEmbeddings: true)
        let blobs = try BlobStore(directory: folder)
        let count = config.tensors.reduce(0) { $0 + $1.elementCount }
        let folder = folder
        var values = [Float](repeating: 0, count: count)
        let written = try values.withUnsafeMutableBufferPointer { buffer in
            RandomWeights.fill(buffer, config: config, seed: 3, standardDeviation: 0.1)
            return try Snapshot.write(config: config, parameters: UnsafeBufferPointer(buffer), to: folder)
        }
        manifest = PolicyManifest(version: .base, weightsHash: written.weightsHash, weights: written.blob)
        bundle = ModelBundle(config: config, tokenizer: tokenizer.serialized()).encoded()
        reference = try blobs.insert(bundle)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it

    func welcome(run: String, proof: String) throws {
        var options = RunOptions()
        options.rollout.sampling.maxNewTokens = 4
        try workbench.configure(
            Welcome(
                run: run, options: options, modelBundle: reference, blobAddress: "ipc:///x", blobDirectory: folder,
                blobDirectoryProof: proof), bundle: bundle, blobDirectory: folder)
    }

    func sample(_ lease: UInt64) throws -> WorkReport {
        let prompt = Prompt(
            key: GroupKey(purpose: .training, step: 1, ordinal: 0), tokens: [65, 66], text: "", answer: "", source: "")
        var sampling = SamplingOptions()
        sampling.maxNewTokens = 4
        workbench.start(
            LeaseIdentifier(lease),
            .rollout(RolloutAssignment(prompt: prompt, groupSize: 2, version: .base, sampling: sampling, seed: 1)))
        var report: WorkReport?
        while !workbench.isIdle {
            workbench.advance { if case .finished(_, let found, _) = $0 { report = found } }
        }
        return try #require(report)
    }

    /// Step 1 from the base policy: the first completion is right, the others are not.
    func train(_ lease: UInt64, _ completions: [Completion]) throws -> TrainingReport {
        let prompt = Prompt(
            key: GroupKey(purpose: .training, step: 1, ordinal: 0), tokens: [65, 66], text: "", answer: "", source: "")
        let rewards = completions.indices.map { $0 == 0 ? 1.0 : 0 }
        let group = CompletionGroup(
            prompt: prompt, completions: completions, verdicts: rewards.map { $0 == 1 ? .right("") : .wrong("") },
            rewards: rewards)
        let assignment = TrainingAssignment(
            step: 1, base: .base, groupCount: 1, learningRate: 0.1, checkpoint: false)
        workbench.start(LeaseIdentifier(lease), .train(assignment, [group]))
        var result: WorkReport?
        while !workbench.isIdle {
            workbench.advance { if case .finished(_, let found, _) = $0 { result = found } }
        }
        guard case .trained(let report, _) = result else {
            throw ComputeError.text("not trained: \(String(describing: result))")
        }
        return report
    }
}

@Suite struct WorkbenchTests {
    @Test func `a coordinator that restarted finds the weights still held`() throws {
        let bench = try Bench()
        try bench.welcome(run: "run", proof: "first")
        #expect(try bench.workbench.load(bench.manifest) == bench.manifest.weightsHash)
        guard case .completions(let before, _) = try bench.sample(1) else {
            Issue.record("nothing was sampled")
            return
        }
        try bench.welcome(run: "run", proof: "second")
        guard case .completions(let after, _) = try bench.sample(2) else {
            Issue.record("the weights are gone although the run is the same")
            return
        }
        #expect(after == before && before.count == 2)
    }

    @Test func `a learner told to start over starts from the policy it was told, not from what it made of it`() throws {
        let bench = try Bench()
        try bench.welcome(run: "run", proof: "first")
        _ = try bench.workbench.load(bench.manifest)
        guard case .completions(let completions, _) = try bench.sample(1) else {
            Issue.record("nothing was sampled")
            return
        }
        var hashes: [Digest] = []
        for lease in 2...4 as ClosedRange<UInt64> {
            bench.workbench.restartLearner(bench.manifest)
            hashes.append(try bench.train(lease, completions).manifest.weightsHash)
        }
        #expect(hashes[0] != bench.manifest.weightsHash)
        #expect(hashes[1] == hashes[0] && hashes[2] == hashes[0])
    }

    @Test func `another run voids the weights held`() throws {
        let bench = try Bench()
        try bench.welcome(run: "run", proof: "first")
        _ = try bench.workbench.load(bench.manifest)
        try bench.welcome(run: "other", proof: "first")
        guard case .failed(_, let retryable) = try bench.sample(1) else {
            Issue.record("weights of another run were sampled from")
            return
        }
        #expect(retryable)
    }
}
