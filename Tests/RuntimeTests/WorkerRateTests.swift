// How a worker's speed is told from counts that only grow.

import Rollouts
import Testing

@testable import Cluster
@testable import Runtime

@Suite struct WorkerRateTests {
    private func worker(_ name: String, tokens: Int, completions: Int) -> CoordinatorStatus.Worker {
        CoordinatorStatus.Worker(
            name: name, host: "host", roles: [.rollout], isReachable: true, isDraining: false, version: nil,
            leaseCount: 0, completionCount: completions, tokenCount: tokens, verdictCount: 0, stepCount: 0,
            lastHeard: .zero)
    }
    private func time(_ seconds: Int64) -> MonotonicTime { MonotonicTime(nanoseconds: seconds * 1_000_000_000) }

    @Test func `a rate is that of the last minute, and a worker that came back counts from 0`() {
        var rates = WorkerRates()
        #expect(rates.rates(of: [worker("a", tokens: 100, completions: 10)], at: time(0)) == [WorkerRates.Rate()])
        let early = rates.rates(of: [worker("a", tokens: 300, completions: 20)], at: time(10))
        #expect(early == [WorkerRates.Rate(tokensPerSecond: 20, completionsPerSecond: 1, verdictsPerSecond: 0)])
        // Nothing for a minute: what was before does not count any more.
        _ = rates.rates(of: [worker("a", tokens: 300, completions: 20)], at: time(20))
        let late = rates.rates(
            of: [worker("b", tokens: 5, completions: 1), worker("a", tokens: 300, completions: 20)], at: time(80))
        #expect(late == [WorkerRates.Rate(), WorkerRates.Rate()])
        let anew = rates.rates(of: [worker("a", tokens: 7, completions: 1)], at: time(90))
        #expect(anew == [WorkerRates.Rate()])
    }
}
