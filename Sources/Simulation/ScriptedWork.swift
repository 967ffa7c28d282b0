// Work without a model: completions, verdicts and "weights" that are pure functions of what they are made from, so that
// equal final hashes prove that the same groups were trained in the same order with the same versions.

import Rollouts

package enum ScriptedWork {
    package static let basePolicy = manifest(version: .base, weights: Fingerprint(1).digest, optimizer: nil)

    package static func manifest(version: PolicyVersion, weights: Digest, optimizer: Digest?) -> PolicyManifest {
        PolicyManifest(
            version: version, weightsHash: weights, weights: BlobReference(digest: weights, byteCount: 64),
            optimizer: optimizer.map { BlobReference(digest: $0, byteCount: 128) })
    }

    package static func prompt(_ key: GroupKey, position: Int) -> Prompt {
        Prompt(
            key: key, tokens: [Int32(position % 1000), 7], text: "question \(position)", answer: "\(position % 10)",
            source: position % 2 == 0 ? "even" : "odd")
    }

    package static func prompts(_ purpose: Purpose, step: Int, ordinals: Range<Int>, position: Int) -> [Prompt] {
        ordinals.map { ordinal in
            prompt(
                GroupKey(purpose: purpose, step: step, ordinal: ordinal),
                position: position + ordinal - ordinals.lowerBound)
        }
    }

    /// - Parameter weights: the hash of the weights that sample; other weights give other tokens.
    package static func completions(for assignment: RolloutAssignment, weights: Digest) -> [Completion] {
        (0..<assignment.groupSize).map { index in
            var print = Fingerprint(assignment.seed)
            print.absorb(weights)
            print.absorb(Int(assignment.prompt.key.purpose.rawValue))
            print.absorb(assignment.prompt.key.step)
            print.absorb(assignment.prompt.key.ordinal)
            for token in assignment.prompt.tokens { print.absorb(Int(token)) }
            print.absorb(index)
            let count = 1 + Int(print.word % UInt64(max(1, min(4, assignment.sampling.maxNewTokens))))
            let tokens = (0..<count).map { position -> Int32 in
                print.absorb(position)
                return Int32(print.word % 100)
            }
            let logProbs = tokens.map { -Float($0 + 1) / 64 }
            return Completion(
                index: index, tokens: tokens, sampledLogProbs: logProbs, policyLogProbs: logProbs,
                entropies: tokens.map { Float($0) / 128 },
                versions: Array(repeating: assignment.version, count: count),
                text: tokens.map { "\($0)" }.joined(separator: " "), finish: count == 4 ? .length : .stop)
        }
    }

    /// About two of five completions are right.
    package static func verdicts(for assignment: VerificationAssignment) -> [Verdict] {
        assignment.completions.map { text in
            var print = Fingerprint(2)
            print.absorb(text)
            print.absorb(assignment.answer)
            return print.word % 5 < 2 ? .right("matches") : .wrong("differs")
        }
    }
}

/// A learner whose weights are a hash of everything they were trained on, optimizer state included.
package struct ScriptedLearner: Equatable, Sendable {
    package private(set) var version = PolicyVersion.base
    package private(set) var weights: Digest
    package private(set) var optimizer: Digest
    /// Parts of a gradient that it keeps for the step it will make.
    private var kept: [ShardRange: Digest] = [:]
    private let shardCount: Int
    private static let freshOptimizer = Fingerprint(3).digest

    package init(from manifest: PolicyManifest, shardCount: Int = 1) {
        self.shardCount = shardCount
        version = manifest.version
        weights = manifest.weightsHash
        optimizer = manifest.optimizer?.digest ?? Self.freshOptimizer
    }

    /// - Parameter blob: the gradient in a blob; nil for one that does not exist.
    /// - Returns: nil when a part of the gradient is nowhere.
    package mutating func train(
        _ assignment: TrainingAssignment, parts blob: (Digest) -> Digest?
    ) -> TrainingReport? {
        var gradients: [ShardRange: Digest] = [:]
        for part in assignment.parts {
            gradients[part.shards] = part.blob.map { blob($0.digest) } ?? kept[part.shards]
        }
        guard let sum = ScriptedGradient.sum(.whole(shardCount), of: gradients) else { return nil }
        return train(assignment, isEmpty: false) { $0.absorb(sum) }
    }

    package mutating func keep(_ gradient: Digest, of shards: ShardRange) { kept[shards] = gradient }

    package mutating func train(_ assignment: TrainingAssignment, _ groups: [CompletionGroup]) -> TrainingReport {
        train(assignment, isEmpty: groups.isEmpty) { [shardCount] print in
            guard shardCount > 1 else { return ScriptedGradient.absorb(groups, into: &print) }
            print.absorb(ScriptedGradient.of(groups, shards: .whole(shardCount), shardCount: shardCount))
        }
    }

    private mutating func train(
        _ assignment: TrainingAssignment, isEmpty: Bool, absorbing absorb: (inout Fingerprint) -> Void
    ) -> TrainingReport {
        kept = [:]
        var print = Fingerprint(4)
        print.absorb(weights)
        print.absorb(optimizer)
        print.absorb(assignment.step)
        print.absorb(assignment.learningRate.bitPattern)
        if !isEmpty {
            absorb(&print)
            weights = print.digest
            print.absorb(5)
            optimizer = print.digest
        }
        version = PolicyVersion(UInt64(assignment.step))
        return report(step: assignment.step, checkpoint: assignment.checkpoint)
    }

    package mutating func pretrain(_ assignment: PretrainingAssignment) -> TrainingReport {
        var print = Fingerprint(6)
        print.absorb(weights)
        for sequence in assignment.sequences {
            print.absorb(sequence.count)
            for token in sequence { print.absorb(Int(token)) }
        }
        weights = print.digest
        return report(step: 0, checkpoint: false)
    }

    package func report(step: Int, checkpoint: Bool) -> TrainingReport {
        TrainingReport(
            step: step,
            manifest: ScriptedWork.manifest(
                version: PolicyVersion(UInt64(step)), weights: weights, optimizer: checkpoint ? optimizer : nil),
            metrics: [
                StepMetrics.Value(name: "loss", value: 0.5), StepMetrics.Value(name: "gradient_norm", value: 1),
            ])
    }
}
