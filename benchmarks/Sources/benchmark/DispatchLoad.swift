// What travels in `dispatch` and `join`: 1 KB out, 4 KB in, and who answers it.

import Cluster
import Rollouts
import Wire

enum DispatchLoad {
    static let promptBytes = 1024
    static let resultBytes = 4096
    static let groupSize = 4
    static let run = "dispatch"

    static let base = manifest(.base)

    static func manifest(_ version: PolicyVersion) -> PolicyManifest {
        PolicyManifest(
            version: version, weightsHash: digest(version.rawValue),
            weights: BlobReference(digest: digest(version.rawValue), byteCount: 64), optimizer: nil)
    }

    static func digest(_ number: UInt64) -> Digest {
        var bytes = [UInt8](repeating: 7, count: 32)
        for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: number >> UInt64(8 * place)) }
        guard let digest = Digest(bytes: bytes) else { preconditionFailure("32 bytes are a digest") }
        return digest
    }

    private static let promptTokens: [Int32] = (0..<260).map { 1000 + $0 }
    private static let promptText = String(repeating: "question ", count: 46)

    /// As a message `promptBytes` long, give or take 2 %.
    static func prompt(_ key: GroupKey) -> Prompt {
        Prompt(key: key, tokens: promptTokens, text: promptText, answer: "42", source: "bench")
    }

    /// As a message `resultBytes` long, give or take 2 %.
    static func completions(_ version: PolicyVersion) -> [Completion] {
        (0..<groupSize).map { index in
            let count = 61
            return Completion(
                index: index, tokens: (0..<count).map { Int32(1000 + $0) },
                sampledLogProbs: Array(repeating: -0.5, count: count),
                policyLogProbs: Array(repeating: -0.5, count: count),
                entropies: Array(repeating: 0.5, count: count), versions: Array(repeating: version, count: count),
                text: String(repeating: "word ", count: 12), finish: .stop)
        }
    }

    static let verdicts: [Verdict] = (0..<groupSize).map { $0 % 2 == 0 ? .right("matches") : .wrong("differs") }

    static func options(workers: Int, slots: Int, steps: Int) -> RunOptions {
        var options = RunOptions()
        options.name = run
        options.rollout.promptsPerStep = promptsPerStep(workers: workers, slots: slots)
        options.rollout.groupSize = groupSize
        options.schedule.steps = steps
        // Sampling and training overlap, as in a run that cares for throughput.
        options.schedule.lag = 1
        options.evaluation.everySteps = 0
        options.cluster.heartbeatSeconds = 5
        return options
    }

    static func promptsPerStep(workers: Int, slots: Int) -> Int { max(256, 2 * workers * slots) }
}
