// Which faults there are, and when they come: from the seed alone.

import FaultInjection
import Rollouts
import Testing

@Suite struct FaultPlanTests {
    @Test func `a list of faults names kinds and families, each once`() throws {
        #expect(try FaultKind.parse("drop,kill-learner,drop") == [.killLearner, .drop])
        #expect(try FaultKind.parse("stop,join") == [.stopRollout, .stopVerifier, .stopLearner, .join])
        #expect(try FaultKind.parse("all").count == FaultKind.allCases.count - 1)
        #expect(throws: FaultInjectionError.self) { try FaultKind.parse("drop,") }
        // Cables are cut between namespaces only.
        #expect(throws: FaultInjectionError.self) { try FaultKind.parse("partition") }
    }

    @Test func `a plan is the seed's, has every kind as often as asked, and leaves work to hit`() {
        let plan = FaultPlan(seed: 7, kinds: FaultKind.allCases, rounds: 3, steps: 80)
        #expect(plan == FaultPlan(seed: 7, kinds: FaultKind.allCases, rounds: 3, steps: 80))
        #expect(plan != FaultPlan(seed: 8, kinds: FaultKind.allCases, rounds: 3, steps: 80))
        for kind in FaultKind.ofProcesses { #expect(plan.strikes.filter { $0.kind == kind }.count == 3) }
        #expect(plan.strikes.count == 3 * FaultKind.ofProcesses.count)
        #expect(plan.strikes.map(\.step) == plan.strikes.map(\.step).sorted())
        #expect(plan.strikes.first?.step == 0 && plan.strikes.last?.step == 53)
        #expect(plan.strikes.allSatisfy { $0.leases > 1 && $0.pause < .milliseconds(80) })
        #expect(FaultPlan(seed: 7, kinds: [.drop], rounds: 3, steps: 80).strikes.isEmpty)
    }

    @Test func `weather is the seed's, keeps to its kinds and its limit, and ends`() {
        func fates(_ seed: UInt64) -> [FrameFate] {
            var weather = FrameWeather(
                seed: seed, kinds: [.drop, .replay, .killLearner], share: 0.5, longestDelay: .seconds(1), limit: 20)
            return (0..<1000).map { _ in weather.next() }
        }
        let fates1 = fates(1)
        #expect(fates1 == fates(1) && fates1 != fates(2))
        #expect(fates1.filter { $0 == .drop || $0 == .replay }.count == 20)
        #expect(fates1.allSatisfy { [.passes, .drop, .replay].contains($0) })
        #expect(fates1.suffix(500).allSatisfy { $0 == .passes })
    }

    @Test func `only the same bits under real faults are called the same`() throws {
        let ground = try MetricsGround()
        let one = try ground.record("one", ["{\"step\":1,\"weights_hash\":\"aa\"}"])
        let two = try ground.record("two", ["{\"step\":1,\"weights_hash\":\"bb\"}"])
        let none = try ground.record("none", [])
        var counts = FaultCounts()
        let untested = ChaosVerdict(one, one, counts: counts, failure: nil)
        #expect(!untested.isSame && untested.line.contains("no fault was injected"))
        counts.add(.drop)
        counts.add(.killLearner, 2)
        let same = ChaosVerdict(one, one, counts: counts, failure: nil)
        #expect(same.isSame)
        #expect(same.line == "same: undisturbed aa, disturbed aa, 1 steps, 3 faults (kill-learner 2, drop 1)")
        let different = ChaosVerdict(one, two, counts: counts, failure: nil)
        #expect(!different.isSame)
        #expect(different.line.hasPrefix("different: undisturbed aa, disturbed bb, 1 steps, 3 faults"))
        #expect(different.line.hasSuffix("step 1, weights_hash: aa and bb"))
        #expect(!ChaosVerdict(one, one, counts: counts, failure: "it ended").isSame)
        #expect(!ChaosVerdict(none, none, counts: counts, failure: nil).isSame)
    }
}
