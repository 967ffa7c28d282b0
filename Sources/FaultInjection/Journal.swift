// What a run's store says was accepted and trained, and whether anything of it was lost or counted twice.

import Cluster
import Foundation
import Rollouts
import RunStore

package struct Journal: Equatable, Sendable {
    package struct Step: Equatable, Sendable {
        package var hash: Digest
        package var groups: [GroupKey]
    }

    package private(set) var completions: [GroupKey: [Completion]] = [:]
    package private(set) var verdicts: [GroupKey: [Verdict]] = [:]
    package private(set) var steps: [Int: Step] = [:]
    /// The first thing that is in the records twice.
    package private(set) var repetition: String?

    package init(_ records: [Record]) {
        for record in records { take(record) }
        var trained: [GroupKey: Int] = [:]
        for step in steps.keys.sorted() {
            for group in steps[step]?.groups ?? [] {
                if let other = trained.updateValue(step, forKey: group) {
                    repetition = repetition ?? "\(group) was trained in step \(other) and in step \(step)"
                }
            }
        }
    }

    private mutating func take(_ record: Record) {
        switch record {
        case .completionsAccepted(let prompt, let completions):
            if self.completions.updateValue(completions, forKey: prompt.key) != nil {
                repetition = repetition ?? "\(prompt.key) was accepted twice"
            }
        case .verdictsAccepted(let key, let verdicts): self.verdicts[key] = verdicts
        case .stepTrained(let metrics, _, let groups, _):
            if steps.updateValue(Step(hash: metrics.weightsHash, groups: groups), forKey: metrics.step) != nil {
                repetition = repetition ?? "step \(metrics.step) was trained twice"
            }
        case .workerJoined, .workerLeft, .workerDrained, .groupDropped, .checkpointed, .evaluated, .finished: break
        }
    }

    /// Of a run's store; one that was killed while it was made has nothing in it.
    package static func read(store path: String, mayBeUnmade: Bool) throws -> Journal {
        guard FileManager.default.fileExists(atPath: path) else { return Journal([]) }
        do {
            return Journal(try RunStore(reading: path).records())
        } catch RunStoreError.foreign where mayBeUnmade {
            return Journal([])
        }
    }

    package var isEmpty: Bool { completions.isEmpty && steps.isEmpty }

    /// The first thing that an earlier look saw durable and that is not there any more, or otherwise; nil when none.
    package func loss(since earlier: Journal) -> String? {
        for key in earlier.completions.keys.sorted() where completions[key] != earlier.completions[key] {
            return "the completions of \(key) are \(completions[key] == nil ? "lost" : "others")"
        }
        for key in earlier.verdicts.keys.sorted() where verdicts[key] != earlier.verdicts[key] {
            return "the verdicts of \(key) are \(verdicts[key] == nil ? "lost" : "others")"
        }
        for step in earlier.steps.keys.sorted() where steps[step] != earlier.steps[step] {
            return "step \(step) is \(steps[step] == nil ? "lost" : "another")"
        }
        return nil
    }
}
