// How fast is each worker at the moment, told from counts that only grow?

import Cluster
import Rollouts

/// Remembers the counts of the last minute, about one a second.
package struct WorkerRates {
    private static let window = Duration.seconds(60)

    package struct Rate: Equatable, Sendable {
        package var tokensPerSecond = 0.0
        package var completionsPerSecond = 0.0
        package var verdictsPerSecond = 0.0
    }

    private struct Sample {
        var at: MonotonicTime
        var tokens: Int
        var completions: Int
        var verdicts: Int
    }

    /// By name, oldest first; looked up, never iterated where order would matter.
    private var samples: [String: [Sample]] = [:]

    package init() {}

    /// - Returns: one a worker, in the status's order; 0 until a worker was seen twice.
    package mutating func rates(of workers: [CoordinatorStatus.Worker], at now: MonotonicTime) -> [Rate] {
        var kept: [String: [Sample]] = [:]
        let rates = workers.map { worker in
            let new = Sample(
                at: now, tokens: worker.tokenCount, completions: worker.completionCount, verdicts: worker.verdictCount)
            var list = samples[worker.name] ?? []
            // One that joined anew under its name counts from 0.
            if let last = list.last, last.tokens > new.tokens || last.verdicts > new.verdicts { list = [] }
            list.append(new)
            // The last one outside the window stays: the rate is told over the whole of it.
            while list.count > 2, now - list[1].at >= Self.window { list.removeFirst() }
            kept[worker.name] = list
            return Self.rate(list[0], new)
        }
        samples = kept
        return rates
    }

    private static func rate(_ first: Sample, _ last: Sample) -> Rate {
        let seconds = (last.at - first.at).inSeconds
        guard seconds > 0 else { return Rate() }
        return Rate(
            tokensPerSecond: Double(last.tokens - first.tokens) / seconds,
            completionsPerSecond: Double(last.completions - first.completions) / seconds,
            verdictsPerSecond: Double(last.verdicts - first.verdicts) / seconds)
    }
}
