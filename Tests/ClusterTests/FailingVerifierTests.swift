// Verifiers that fail: what comes of a group is the same verdicts, or fewer, never others.

import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct FailingVerifierTests {
    private struct Course {
        var verdicts: [Verdict]
        /// Attempts that came to nothing, or to less than everything.
        var failureCount = 0
    }

    /// One group through verifiers that crash, vanish, fail or are unsure, until it is settled.
    /// - Parameter patience: how many attempts may fail.
    private func judge(_ seed: UInt64, failing: Double, patience: Int) -> Course {
        var dice = SimulationDice(seed: seed)
        var options = ClusterOptions()
        options.verificationAttempts = patience
        var scheduler = VerificationScheduler(options: options)
        let assignment = Samples.assignment(Int(seed % 7) + 1, Int(seed % 5), groupSize: dice.integer(2...6))
        scheduler.add(assignment.prompt, completions(assignment))
        let workers = ["a", "b", "c"].map { Samples.worker($0, [.verifier], slots: 4) }
        var leases = LeaseMaker(epoch: 0, length: .seconds(5))
        var now = MonotonicTime.zero
        var course = Course(verdicts: [])
        for _ in 0..<200 {
            let grants = scheduler.assign(to: workers, at: now, leases: &leases)
            now = now + .seconds(40)
            guard let grant = grants.first, case .live(let index) = scheduler.book.place(of: grant.lease) else {
                continue
            }
            var verdicts = ScriptedWork.verdicts(for: grant.assignment)
            var outcome: VerificationScheduler.Outcome?
            switch dice.chance(failing) ? dice.integer(0...2) : 3 {
            case 0:
                course.failureCount += 1
                outcome = scheduler.fail(index, by: grant.worker, reason: "it crashed", retryable: true, at: now)
            case 1: outcome = scheduler.lose(index, by: grant.worker)
            case 2:
                course.failureCount += 1
                for place in verdicts.indices where dice.chance(0.6) { verdicts[place] = .noVerdict("unsure") }
                outcome = scheduler.take(verdicts, ofUnit: index, by: grant.worker, at: now)
            default: outcome = scheduler.take(verdicts, ofUnit: index, by: grant.worker, at: now)
            }
            if case .settled(_, let settled)? = outcome {
                course.verdicts = settled
                return course
            }
        }
        return course
    }

    private func completions(_ assignment: RolloutAssignment) -> [Completion] {
        ScriptedWork.completions(for: assignment, weights: Fingerprint(11).digest)
    }

    private func truth(_ seed: UInt64) -> [Verdict] { judge(seed, failing: 0, patience: 1).verdicts }

    @Test func `a group judged elsewhere after failures has exactly the verdicts of one that never failed`() {
        var failures = 0
        for seed in 1...300 as ClosedRange<UInt64> {
            let course = judge(seed, failing: 0.6, patience: 1000)
            failures += course.failureCount
            let truth = truth(seed)
            #expect(truth.count >= 2 && course.verdicts == truth, "seed \(seed)")
        }
        #expect(failures > 300, "\(failures)")
    }

    @Test func `a group that runs out of attempts lacks verdicts, and has no other ones`() {
        var missing = 0
        for seed in 1...300 as ClosedRange<UInt64> {
            let found = judge(seed, failing: 0.8, patience: 2).verdicts
            let truth = truth(seed)
            #expect(found.count == truth.count, "seed \(seed)")
            for (one, other) in zip(found, truth) where one != other {
                #expect(one.outcome == .noVerdict, "seed \(seed)")
                missing += 1
            }
            let rewards = Rewards.rewards(of: found, in: Samples.key(1, 0), shuffleSeed: nil)
            let expected = Rewards.rewards(of: truth, in: Samples.key(1, 0), shuffleSeed: nil)
            for place in found.indices where found[place].outcome != .noVerdict {
                #expect(rewards[place] == expected[place], "seed \(seed)")
            }
        }
        #expect(missing > 100, "\(missing)")
    }
}
