// What happens to completions under way when a workbench takes new weights.

import Cluster
import Foundation
import Rollouts
import Testing
import Tokenization
import Weights

@testable import Compute

/// A workbench in flight, with two versions of a small random model.
private final class Bench {
    let workbench = EngineWorkbench(threadCount: 1)
    let manifests: [PolicyManifest]
    private let folder = NSTemporaryDirectory() + "inflight-tests-" + UUID().uuidString

    init() throws {
        let tokenizer = Tokenizer.bytes()
        let config = ModelConfig(
            family: .llama, vocabularySize: tokenizer.vocabularySize, hiddenSize: 16, layerCount: 2, headCount: 2,
            keyValueHeadCount: 1, headDimension: 8, intermediateSize: 32, rmsEpsilon: 1e-5, rotaryBase: 10000,
            contextTokens: 64, tiedEmbeddings: true)
        let blobs = try BlobStore(directory: folder)
        let folder = folder
        var values = [Float](repeating: 0, count: config.tensors.reduce(0) { $0 + $1.elementCount })
        // A run's first snapshot may be float32, those of its learner are not: the set of weights is another kind.
        var made: [PolicyManifest] = []
        for (seed, format) in [SnapshotFormat.float32, .bfloat16].enumerated() {
            let written = try values.withUnsafeMutableBufferPointer { buffer in
                RandomWeights.fill(buffer, config: config, seed: UInt64(3 + seed), standardDeviation: 0.3)
                return try Snapshot.write(
                    config: config, parameters: UnsafeBufferPointer(buffer), format: format, to: folder)
            }
            made.append(
                PolicyManifest(
                    version: PolicyVersion(UInt64(seed)), weightsHash: written.weightsHash, weights: written.blob))
        }
        manifests = made
        let bundle = ModelBundle(config: config, tokenizer: tokenizer.serialized()).encoded()
        var options = RunOptions()
        options.model.precision = .bfloat16
        options.schedule.inflight = true
        try workbench.configure(
            Welcome(
                run: "run", options: options, modelBundle: try blobs.insert(bundle), blobAddress: "ipc:///x",
                blobDirectory: folder, blobDirectoryProof: "proof"), bundle: bundle, blobDirectory: folder)
        _ = try workbench.load(manifests[0])
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it

    func start(_ lease: UInt64, newer: Bool = true) {
        let prompt = Prompt(
            key: GroupKey(purpose: .training, step: 2, ordinal: 0), tokens: [65, 66], text: "", answer: "", source: "")
        var sampling = SamplingOptions()
        sampling.maxNewTokens = 16
        workbench.start(
            LeaseIdentifier(lease),
            .rollout(
                RolloutAssignment(
                    prompt: prompt, groupSize: 3, version: .base, sampling: sampling, seed: 1, newer: newer)))
    }

    /// - Parameter steps: nil goes on to the end.
    func advance(_ steps: Int? = nil) -> WorkReport? {
        var report: WorkReport?
        var count = 0
        while !workbench.isIdle, steps.map({ count < $0 }) ?? true {
            workbench.advance { if case .finished(_, let found, _) = $0 { report = found } }
            count += 1
        }
        return report
    }

    func completions(_ report: WorkReport?) throws -> [Completion] {
        guard case .completions(let completions, _)? = report else {
            throw ComputeError.text("not sampled: \(String(describing: report))")
        }
        return completions
    }
}

@Suite struct InflightWorkTests {
    @Test func `new weights take over with the next token, and what was drawn before stays`() throws {
        let calm = try Bench()
        calm.start(1)
        let undisturbed = try calm.completions(calm.advance())
        #expect(undisturbed.contains { $0.tokens.count > 8 })

        let bench = try Bench()
        bench.start(1)
        #expect(bench.advance(4) == nil)
        #expect(try bench.workbench.load(bench.manifests[1]) == bench.manifests[1].weightsHash)
        let completions = try bench.completions(bench.advance())
        for (completion, other) in zip(completions, undisturbed) {
            // The first step draws two tokens: from the prompt's row, and from a decode.
            let before = completion.versions.count { $0 == .base }
            #expect(completion.versions == completion.versions.sorted() && before == min(5, other.tokens.count))
            #expect(completion.tokens.prefix(before) == other.tokens.prefix(before))
            #expect(completion.policyLogProbs.prefix(before) == other.policyLogProbs.prefix(before))
            if completion.tokens.count > before, other.tokens.count > before {
                #expect(completion.policyLogProbs[before] != other.policyLogProbs[before])
            }
            #expect(completion.policyLogProbs.allSatisfy { $0.isFinite && $0 <= 0 })
        }
        #expect(completions.contains { $0.versions.last == PolicyVersion(1) })
        // What starts now is the new version's from its first token.
        bench.start(2)
        #expect(try bench.completions(bench.advance()).allSatisfy { Set($0.versions) == [PolicyVersion(1)] })
    }

    @Test func `what only one version may sample ends when another one comes`() throws {
        let bench = try Bench()
        bench.start(1, newer: false)
        #expect(bench.advance(4) == nil)
        _ = try bench.workbench.load(bench.manifests[1])
        guard case .failed(_, retryable: true)? = bench.advance() else {
            Issue.record("the group went on with other weights")
            return
        }
    }

    @Test func `weights that do not verify end what was sampled with those before`() throws {
        let bench = try Bench()
        bench.start(1)
        #expect(bench.advance(4) == nil)
        var wrong = bench.manifests[1]
        wrong.weightsHash = bench.manifests[0].weightsHash
        wrong.version = PolicyVersion(2)
        wrong.weights = BlobReference(digest: wrong.weightsHash, byteCount: 64)
        var other = wrong
        other.weightsHash = Digest(bytes: [UInt8](repeating: 7, count: 32))!
        #expect(throws: (any Error).self) { _ = try bench.workbench.load(other) }
        guard case .failed(_, retryable: true)? = bench.advance() else {
            Issue.record("the group went on without weights")
            return
        }
        _ = try bench.workbench.load(bench.manifests[1])
        bench.start(2)
        #expect(try bench.completions(bench.advance()).count == 3)
    }
}
