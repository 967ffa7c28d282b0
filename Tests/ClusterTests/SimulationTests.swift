// The simulator over fixed seeds, and proof that its checkers can fail.

import Simulation
import Testing

@Suite struct SimulationTests {
    private static let seeds: [(Scenario.Size, ClosedRange<UInt64>)] = [
        (.brief, 1...600), (.small, 1...40), (.long, 1...8), (.wide, 1...12),
    ]

    /// As many worlds at once as there are cores.
    @Test func `every seed completes with the weights of the undisturbed run, and every rare path is taken`() async {
        let worlds = Self.seeds.flatMap { size, range in range.map { (size, $0) } }
        var marks = Marks()
        await withTaskGroup(of: SimulationResult.self) { group in
            for (size, seed) in worlds {
                group.addTask {
                    let result = Simulator.run(seed: seed, size: size)
                    if let failure = result.failure {
                        Issue.record("\(failure)\nsimulate --seeds 1 --first \(seed) --scenario \(size.rawValue)")
                    }
                    return result
                }
            }
            for await result in group { marks.add(result.marks) }
        }
        #expect(marks.missed == [])
    }

    /// What one event costs is measured in workers filed and units looked at, not in time.
    private func workPerEvent(workers count: Int, lag: Int) -> Double {
        var scenario = Scenario(seed: 3, size: .vast)
        scenario.makeVast(workerCount: count)
        scenario.options.schedule.lag = lag
        scenario.options.schedule.steps = 1 + lag
        var simulator = Simulator(scenario, reference: nil)
        let result = simulator.run()
        #expect(result.failure == nil)
        #expect(result.eventCount > 5 * count)
        return Double(result.workCount) / Double(result.eventCount)
    }

    @Test(arguments: [0, 1]) func `an event of a thousand workers costs what one of a hundred costs`(_ lag: Int) {
        let few = workPerEvent(workers: 100, lag: lag)
        let many = workPerEvent(workers: 1000, lag: lag)
        #expect(many < 1.5 * few, "\(many) a event with a thousand workers, \(few) with a hundred")
        #expect(many < 4)
    }

    /// Courses of events that a core without one of its rules did not survive.
    @Test(arguments: [101, 172, 259, 352, 536] as [UInt64]) func `seeds that found a defect complete`(_ seed: UInt64) {
        #expect(Simulator.run(seed: seed, size: .small).failure == nil)
    }

    @Test(arguments: [Scenario.Size.small, .wide, .long]) func `one seed is one course of events`(_ size: Scenario.Size) {
        let first = Simulator.run(seed: 7, size: size)
        let second = Simulator.run(seed: 7, size: size)
        let other = Simulator.run(seed: 8, size: size)
        #expect(first == second)
        #expect(first.traceHash != other.traceHash)
    }

    /// The first seed that notices each; a change of the core may move it by a few.
    @Test(arguments: [
        (Sabotage.forgetRecords, 36 as UInt64), (.sendBeforePersist, 1), (.trainUnordered, 1), (.sampleStale, 1),
        (.forgetOptimizer, 5),
    ]) func `a broken shell is noticed`(_ sabotage: Sabotage, _ first: UInt64) {
        let isNoticed = (first..<first + 40).contains { seed in
            Simulator.run(seed: seed, size: .small, sabotage: sabotage).failure != nil
        }
        #expect(isNoticed, "\(sabotage.rawValue)")
    }

    /// Five honest workers and one that changes a token and its log-probs alike, so that no learner can tell.
    private func withLiar(seed: UInt64, spotCheck: Double) -> SimulationResult {
        var scenario = Scenario(seed: seed, size: .long)
        scenario.options.cluster.spotCheck = spotCheck
        scenario.options.schedule.inflight = false
        scenario.options.schedule.lag = Int(seed % 3)
        scenario.workers = [[.rollout], [.rollout], [.rollout], [.rollout], [.verifier], [.learner]]
        scenario.slots = 1
        let delayed = scenario.faults.delayLimit
        scenario.faults = .none
        scenario.faults.duplicated = 0.2
        scenario.faults.delayed = 0.2
        scenario.faults.delayLimit = min(delayed, .milliseconds(500))
        var calm = Simulator(scenario.undisturbed, reference: nil)
        let undisturbed = calm.run()
        scenario.liar = 0
        var simulator = Simulator(scenario, reference: undisturbed.made)
        return simulator.run()
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func `a lie that no log-prob betrays is found by the spot check and leaves no trace`(_ seed: UInt64) {
        #expect(withLiar(seed: seed, spotCheck: 1).failure == nil)
    }

    @Test func `without the spot check the lie is trained`() {
        #expect((1...3 as ClosedRange<UInt64>).contains { withLiar(seed: $0, spotCheck: 0).failure != nil })
    }
}
