import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct RolloutSchedulerTests {
    private let base = Samples.policy(0)
    private func manifest(_ version: PolicyVersion) -> PolicyManifest? { Samples.policy(version.rawValue) }

    private func grants(
        _ scheduler: inout RolloutScheduler, _ workers: [Worker], except reserved: String? = nil, at seconds: Double = 0
    ) -> [String] {
        var leases = LeaseMaker(epoch: 0, length: .seconds(10))
        return scheduler.assign(
            to: workers, except: reserved, at: Samples.time(seconds), leases: &leases,
            manifest: manifest
        ).map { "\($0.worker) \($0.assignment.prompt.key.step)/\($0.assignment.prompt.key.ordinal)" }
    }

    @Test func `groups go out in key order to the workers with the most free slots`() {
        var scheduler = RolloutScheduler()
        for ordinal in [2, 0, 1] { scheduler.add(Samples.assignment(1, ordinal)) }
        let workers = [
            Samples.worker("a", [.rollout], slots: 1, holding: base), Samples.worker("b", [.rollout], holding: base),
        ]
        #expect(grants(&scheduler, workers) == ["b 1/0", "a 1/1", "b 1/2"])
    }

    @Test func `older versions go out first, and only to workers that hold them`() {
        var scheduler = RolloutScheduler()
        scheduler.add(Samples.assignment(3, 0, version: 1))
        scheduler.add(Samples.assignment(2, 0, version: 0))
        #expect(scheduler.demand(at: .zero).map(\.version.rawValue) == [0, 1])
        let workers = [Samples.worker("a", [.rollout], holding: Samples.policy(1))]
        #expect(grants(&scheduler, workers) == ["a 3/0"])
        #expect(scheduler.demand(at: .zero).map(\.version.rawValue) == [0])
    }

    @Test func `a worker with other weights of the same version gets nothing`() {
        var scheduler = RolloutScheduler()
        scheduler.add(Samples.assignment(1, 0))
        var other = base
        other.weightsHash = Fingerprint(55).digest
        #expect(grants(&scheduler, [Samples.worker("a", [.rollout], holding: other)]) == [])
    }

    @Test func `reserved, unreachable and full workers and verifiers get nothing`() {
        var scheduler = RolloutScheduler()
        for ordinal in 0..<3 { scheduler.add(Samples.assignment(1, ordinal)) }
        var unreachable = Samples.worker("u", [.rollout], holding: base)
        unreachable.peer = nil
        let workers = [
            Samples.worker("r", [.rollout], holding: base), unreachable,
            Samples.worker("v", [.verifier], holding: base), Samples.worker("f", [.rollout], slots: 1, holding: base),
        ]
        #expect(grants(&scheduler, workers, except: "r") == ["f 1/0"])
    }

    @Test func `a group avoids the worker that failed it while there is another`() {
        var scheduler = RolloutScheduler()
        scheduler.add(Samples.assignment(1, 0))
        scheduler.book.change(0) { $0.avoided = ["a"] }
        var both = scheduler
        let a = Samples.worker("a", [.rollout], slots: 4, holding: base)
        #expect(grants(&both, [a, Samples.worker("b", [.rollout], slots: 1, holding: base)]) == ["b 1/0"])
        #expect(grants(&scheduler, [a]) == ["a 1/0"])
    }

    @Test func `progress on one lease keeps all leases of the worker`() {
        var scheduler = RolloutScheduler()
        scheduler.add(Samples.assignment(1, 0))
        scheduler.add(Samples.assignment(1, 1))
        _ = grants(&scheduler, [Samples.worker("a", [.rollout], holding: base)])
        let report = LeaseProgress(lease: LeaseIdentifier(1), unitsDone: 3)
        let more = LeaseProgress(lease: LeaseIdentifier(1), unitsDone: 9)
        // The same count again is no progress, and neither is another worker's word.
        let isProgress = [
            scheduler.book.progress(of: "a", report), scheduler.book.progress(of: "a", report),
            scheduler.book.progress(of: "b", more),
        ]
        #expect(isProgress == [true, false, false])
        scheduler.book.extend("a", at: Samples.time(5))
        #expect(scheduler.book.expired(at: Samples.time(14)) == [])
        #expect(scheduler.book.expired(at: Samples.time(15)) == [0, 1])
        #expect(scheduler.book.nextDeadline(after: .zero) == Samples.time(15))
    }

    @Test func `work that takes longer than a lease has ever longer ones`() {
        var scheduler = RolloutScheduler()
        scheduler.add(Samples.assignment(1, 0))
        var leases = LeaseMaker(epoch: 0, length: .seconds(10))
        let workers = [Samples.worker("a", [.rollout], holding: base)]
        var now = 0.0
        var lengths: [Double] = []
        for _ in 0..<6 {
            _ = scheduler.assign(
                to: workers, except: nil, at: Samples.time(now), leases: &leases, manifest: manifest)
            guard let deadline = scheduler.book.nextDeadline(after: Samples.time(now)) else { break }
            lengths.append((deadline - Samples.time(now)).inSeconds)
            now += lengths[lengths.count - 1]
            for slot in scheduler.book.expired(at: Samples.time(now)) {
                scheduler.book.release(slot)
                scheduler.book.change(slot) { $0.expiryCount += 1 }
            }
        }
        #expect(lengths == [10, 20, 40, 80, 80, 80])
    }

    static let faults: [(String, @Sendable (inout [Completion]) -> Void)] = [
        ("expected 2 completions, found 1", { $0.removeLast() }),
        ("completion 1: has index 0", { $0[1].index = 0 }),
        ("completion 0: expected 1 to 64 tokens, found 0", { $0[0] = Samples.completion(0, tokens: []) }),
        (
            "completion 0: expected 1 to 64 tokens, found 65",
            { $0[0] = Samples.completion(0, tokens: Array(repeating: 1, count: 65)) }
        ),
        (
            "completion 1: 2 tokens, 1 sampled log-probs, 2 policy log-probs, 2 entropies and 2 versions",
            { $0[1].sampledLogProbs.removeLast() }
        ),
        ("completion 0: sampled with version 3, asked for 0", { $0[0].versions[1] = PolicyVersion(3) }),
        ("completion 0: log-prob 0.5", { $0[0].policyLogProbs[0] = 0.5 }),
        ("completion 0: log-prob nan", { $0[0].sampledLogProbs[1] = .nan }),
        ("completion 0: log-prob -inf", { $0[0].sampledLogProbs[1] = -.infinity }),
        ("completion 1: entropy inf", { $0[1].entropies[0] = .infinity }),
    ]

    @Test(arguments: faults) func `unusable completions are named`(
        _ fault: String, _ spoil: @Sendable (inout [Completion]) -> Void
    ) {
        var completions = [Samples.completion(0), Samples.completion(1)]
        let assignment = Samples.assignment(1, 0)
        #expect(RolloutScheduler().fault(in: completions, of: assignment) == nil)
        spoil(&completions)
        #expect(RolloutScheduler().fault(in: completions, of: assignment) == fault)
    }

    @Test func `a token outside the vocabulary is named, where the vocabulary is known`() {
        let completions = [Samples.completion(0, tokens: [1, 7])]
        let assignment = Samples.assignment(1, 0, groupSize: 1)
        #expect(RolloutScheduler(vocabularyCount: 8).fault(in: completions, of: assignment) == nil)
        #expect(
            RolloutScheduler(vocabularyCount: 7).fault(in: completions, of: assignment)
                == "completion 0: token 7 is not in the vocabulary of 7")
    }

    @Test func `rounding may lift a log-prob a thousandth above 0`() {
        var completion = Samples.completion(0)
        completion.sampledLogProbs[0] = 9e-4
        #expect(RolloutScheduler().fault(in: [completion], of: Samples.assignment(1, 0, groupSize: 1)) == nil)
    }
}

@Suite struct VerificationSchedulerTests {
    private func scheduler(attempts: Int) -> VerificationScheduler {
        var options = ClusterOptions()
        options.verificationAttempts = attempts
        var scheduler = VerificationScheduler(options: options)
        let prompt = ScriptedWork.prompt(Samples.key(1, 0), position: 0)
        scheduler.add(prompt, [Samples.completion(0), Samples.completion(1), Samples.completion(2)])
        return scheduler
    }

    private func assign(_ scheduler: inout VerificationScheduler, at seconds: Double) -> [String] {
        var leases = LeaseMaker(epoch: 0, length: .seconds(10))
        let workers = [Samples.worker("a", [.verifier]), Samples.worker("b", [.verifier])]
        return scheduler.assign(to: workers, at: Samples.time(seconds), leases: &leases)
            .map { "\($0.worker) \($0.assignment.completions.count)" }
    }

    @Test func `what is left without a verdict is judged by another worker after one second, then two`() {
        var scheduler = scheduler(attempts: 3)
        #expect(assign(&scheduler, at: 0) == ["a 3"])
        let first = scheduler.take([.right("r"), .noVerdict("x"), .noVerdict("y")], ofUnit: 0, by: "a", at: .zero)
        #expect(first == .retried(after: .seconds(1)))
        #expect(assign(&scheduler, at: 0.9) == [])
        #expect(assign(&scheduler, at: 1) == ["b 2"])
        let second = scheduler.fail(0, by: "b", reason: "crashed", retryable: true, at: Samples.time(1))
        #expect(second == .retried(after: .seconds(2)))
        #expect(assign(&scheduler, at: 3) == ["a 2"])
        let third = scheduler.take([.wrong("w"), .noVerdict("z")], ofUnit: 0, by: "a", at: Samples.time(3))
        #expect(third == .settled(Samples.key(1, 0), [.right("r"), .wrong("w"), .noVerdict("z")]))
        #expect(scheduler.book.units.isEmpty)
    }

    @Test func `a failure that cannot be retried leaves no verdict at once`() {
        var scheduler = scheduler(attempts: 3)
        _ = assign(&scheduler, at: 0)
        let outcome = scheduler.fail(0, by: "a", reason: "no such verifier", retryable: false, at: .zero)
        #expect(outcome == .settled(Samples.key(1, 0), Array(repeating: .noVerdict("no such verifier"), count: 3)))
    }

    @Test func `losing a worker is no attempt, but there is an end to it`() {
        var scheduler = scheduler(attempts: 1)
        for _ in 1..<VerificationScheduler.lossLimit {
            _ = assign(&scheduler, at: 0)
            #expect(scheduler.lose(0, by: "a") == nil)
        }
        _ = assign(&scheduler, at: 0)
        guard case .settled(_, let verdicts) = scheduler.lose(0, by: "a") else {
            Issue.record("the group is still open")
            return
        }
        #expect(verdicts.allSatisfy { $0.outcome == .noVerdict })
    }

    @Test func `an answer counts once, whichever of its leases it comes under`() {
        var scheduler = scheduler(attempts: 2)
        var leases = LeaseMaker(epoch: 0, length: .seconds(10))
        let workers = [Samples.worker("a", [.verifier])]
        _ = scheduler.assign(to: workers, at: .zero, leases: &leases)
        _ = scheduler.lose(0, by: "a")
        #expect(scheduler.book.place(of: LeaseIdentifier(1)) == .former(0))
        _ = scheduler.assign(to: workers, at: .zero, leases: &leases)
        _ = scheduler.take(
            [.right("r"), .right("r"), .noVerdict("x")], ofUnit: 0, by: "a", at: .zero)
        #expect(scheduler.book.place(of: LeaseIdentifier(1)) == .unknown)
        #expect(scheduler.book.place(of: LeaseIdentifier(2)) == .unknown)
    }

    @Test func `a score that is no number is unusable`() {
        let scheduler = scheduler(attempts: 1)
        #expect(scheduler.fault(in: [.right("r")], ofUnit: 0) == "expected 3 verdicts, found 1")
        let verdicts = [Verdict.right("r"), .right("r", score: .nan), .noVerdict("x")]
        #expect(scheduler.fault(in: verdicts, ofUnit: 0) == "verdict 1: score nan")
    }
}
