import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct WorkerCoreTests {
    private func lease(_ number: UInt64) -> LeaseIdentifier { LeaseIdentifier(number) }

    /// A worker that is joined, at time 0.
    private func joined(_ roles: [WorkerRole] = [.rollout, .verifier, .learner]) -> WorkerCore {
        var core = WorkerCore(hello: Samples.hello("w", roles))
        _ = core.handle(.connected, at: .zero)
        _ = core.handle(.received(.welcome(Samples.welcome())), at: .zero)
        return core
    }

    /// … and holds this policy.
    private func holding(_ manifest: PolicyManifest, _ roles: [WorkerRole] = [.rollout, .verifier, .learner])
        -> WorkerCore
    {
        var core = joined(roles)
        _ = core.handle(.received(.policy(manifest)), at: .zero)
        _ = core.handle(.policyLoaded(manifest.version, weightsHash: manifest.weightsHash), at: .zero)
        return core
    }

    private func sends(_ effects: [WorkerEffect]) -> [Message] {
        effects.compactMap { if case .send(let message) = $0 { message } else { nil } }
    }

    private var verdicts: WorkReport { .verdicts([.right("r")], seconds: 1) }
    private var verification: VerificationAssignment {
        VerificationAssignment(key: Samples.key(1, 0), promptText: "q", answer: "a", completions: ["c"])
    }
    private func training(_ step: Int, groups: Int = 0) -> TrainingAssignment {
        TrainingAssignment(
            step: step, base: PolicyVersion(UInt64(step - 1)), groupCount: groups, learningRate: 1, checkpoint: false)
    }

    @Test func `a worker says hello, takes the welcome and beats once a second`() {
        var core = WorkerCore(hello: Samples.hello("w"))
        #expect(core.nextDeadline == nil)
        #expect(core.handle(.connected, at: .zero) == [.send(.hello(Samples.hello("w")))])
        let answer = core.handle(.received(.welcome(Samples.welcome())), at: Samples.time(1))
        #expect(answer == [.configure(Samples.welcome()), .send(.heartbeat(progress: []))])
        #expect(core.nextDeadline == Samples.time(2))
        #expect(core.handle(.tick, at: Samples.time(1.9)) == [])
        #expect(core.handle(.tick, at: Samples.time(2)) == [.send(.heartbeat(progress: []))])
    }

    @Test func `a silent coordinator is left, and hello is said again over a new socket`() {
        var core = joined()
        _ = core.handle(.received(.acknowledge(lease: lease(0))), at: Samples.time(3))
        let beats = core.handle(.tick, at: Samples.time(7.9))
        #expect(sends(beats).count == 1)
        let left = core.handle(.tick, at: Samples.time(8))
        #expect(left.last == .recreateSocket(after: .zero))
        #expect(core.nextDeadline == nil, "the shell says when it is connected")
        #expect(sends(core.handle(.connected, at: Samples.time(8.1))) == [.hello(Samples.hello("w"))])
    }

    @Test func `refusals and missing answers wait longer each time, up to 32 seconds`() {
        var core = WorkerCore(hello: Samples.hello("w"))
        var time = 0.0
        var waits: [Duration] = []
        for turn in 0..<7 {
            _ = core.handle(.connected, at: Samples.time(time))
            time += 5
            let effects =
                turn % 2 == 0
                ? core.handle(.tick, at: Samples.time(time))
                : core.handle(.received(.refused(reason: "no")), at: Samples.time(time))
            for case .recreateSocket(let wait) in effects { waits.append(wait) }
        }
        #expect(waits == [1, 2, 4, 8, 16, 32, 32].map { Duration.seconds($0) })
    }

    @Test func `results are said again after a lost connection, until they are acknowledged`() {
        var core = joined()
        #expect(
            core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
                == [.startWork(lease(1), .verify(verification))])
        let result = Message.verificationResult(lease: lease(1), verdicts: [.right("r")], seconds: 1)
        #expect(sends(core.handle(.workFinished(lease(1), verdicts), at: .zero)) == [result])
        _ = core.handle(.tick, at: Samples.time(9))
        _ = core.handle(.connected, at: Samples.time(9))
        #expect(sends(core.handle(.received(.welcome(Samples.welcome())), at: Samples.time(9))).contains(result))
        _ = core.handle(.received(.acknowledge(lease: lease(1))), at: Samples.time(9))
        let again = core.handle(.received(.welcome(Samples.welcome())), at: Samples.time(9))
        #expect(!sends(again).contains(result))
    }

    @Test func `work that finishes while there is no connection is kept`() {
        var core = joined()
        _ = core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
        _ = core.handle(.received(.refused(reason: "this connection is unknown here")), at: .zero)
        #expect(core.handle(.workFinished(lease(1), verdicts), at: .zero) == [])
        _ = core.handle(.connected, at: Samples.time(1))
        let answer = core.handle(.received(.welcome(Samples.welcome())), at: Samples.time(1))
        #expect(sends(answer).first == .verificationResult(lease: lease(1), verdicts: [.right("r")], seconds: 1))
    }

    @Test func `work asked for again under another lease is carried on, not begun again`() {
        var core = joined()
        _ = core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
        #expect(core.handle(.received(.verify(lease: lease(2), verification)), at: .zero) == [])
        #expect(
            core.handle(.received(.cancel(lease: lease(1))), at: .zero) == [], "lease 1 is not what it is called now")
        let done = core.handle(.workFinished(lease(1), verdicts), at: .zero)
        #expect(sends(done) == [.verificationResult(lease: lease(2), verdicts: [.right("r")], seconds: 1)])
        let third = core.handle(.received(.verify(lease: lease(3), verification)), at: .zero)
        #expect(third == [.send(.verificationResult(lease: lease(3), verdicts: [.right("r")], seconds: 1))])
        _ = core.handle(.received(.acknowledge(lease: lease(2))), at: .zero)
        #expect(core.handle(.received(.verify(lease: lease(3), verification)), at: .zero) == [], "a duplicate")
        #expect(
            core.handle(.received(.verify(lease: lease(4), verification)), at: .zero)
                == [.startWork(lease(4), .verify(verification))], "a new attempt")
    }

    @Test func `cancelled work is stopped, and what it still reports is dropped`() {
        var core = joined()
        _ = core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
        #expect(core.handle(.received(.cancel(lease: lease(7))), at: .zero) == [], "nobody knows lease 7")
        #expect(core.handle(.received(.cancel(lease: lease(1))), at: .zero) == [.cancelWork(lease(1))])
        #expect(core.handle(.workFinished(lease(1), verdicts), at: .zero) == [])
        #expect(core.handle(.received(.verify(lease: lease(1), verification)), at: .zero) == [], "a late duplicate")
    }

    @Test func `heartbeats carry the progress of what is running`() {
        var core = joined()
        _ = core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
        _ = core.handle(.workProgress(lease(1), unitsDone: 4), at: .zero)
        _ = core.handle(.workProgress(lease(1), unitsDone: 3), at: .zero)
        let beat = core.handle(.tick, at: Samples.time(1))
        #expect(sends(beat) == [.heartbeat(progress: [LeaseProgress(lease: lease(1), unitsDone: 4)])])
    }

    @Test func `a policy is loaded once, proved with the hash computed, and kept over a lost connection`() {
        var core = joined([.rollout])
        let policy = Samples.policy(3)
        #expect(core.handle(.received(.policy(policy)), at: .zero) == [.loadPolicy(policy)])
        #expect(core.handle(.received(.policy(policy)), at: .zero) == [], "it is being loaded")
        let proof = Message.policyReady(policy.version, weightsHash: policy.weightsHash)
        #expect(
            core.handle(.policyLoaded(policy.version, weightsHash: policy.weightsHash), at: .zero) == [.send(proof)])
        #expect(core.handle(.received(.policy(policy)), at: .zero) == [.send(proof)])
        _ = core.handle(.received(.refused(reason: "no")), at: .zero)
        #expect(core.handle(.connected, at: .zero) == [.send(.hello(Samples.hello("w", [.rollout], held: policy)))])
    }

    @Test func `while weights are changing the worker holds nothing`() {
        var core = holding(Samples.policy(1), [.rollout])
        _ = core.handle(.received(.policy(Samples.policy(2))), at: .zero)
        let declined = core.handle(
            .received(.rollout(lease: lease(1), Samples.assignment(2, 0, version: 1))), at: .zero)
        guard case .failed(lease(1), _, true) = sends(declined).first else {
            Issue.record("the core said \(declined)")
            return
        }
        _ = core.handle(.received(.refused(reason: "no")), at: .zero)
        #expect(core.handle(.connected, at: .zero) == [.send(.hello(Samples.hello("w", [.rollout])))])
    }

    @Test func `of two loads the last one counts`() {
        var core = joined([.rollout])
        _ = core.handle(.received(.policy(Samples.policy(1))), at: .zero)
        _ = core.handle(.received(.policy(Samples.policy(2))), at: .zero)
        #expect(
            core.handle(.policyLoaded(PolicyVersion(1), weightsHash: Samples.policy(1).weightsHash), at: .zero) == [])
        let hash = Samples.policy(2).weightsHash
        #expect(
            core.handle(.policyLoaded(PolicyVersion(2), weightsHash: hash), at: .zero)
                == [.send(.policyReady(PolicyVersion(2), weightsHash: hash))])
    }

    @Test func `a load that fails leaves the weights held before`() {
        var core = holding(Samples.policy(1), [.rollout])
        _ = core.handle(.received(.policy(Samples.policy(2))), at: .zero)
        let failed = core.handle(.policyLoadFailed(PolicyVersion(2), reason: "cut"), at: .zero)
        #expect(sends(failed) == [.policyFailed(PolicyVersion(2), reason: "cut")])
        let assignment = Samples.assignment(2, 0, version: 1)
        #expect(
            core.handle(.received(.rollout(lease: lease(1), assignment)), at: .zero)
                == [.startWork(lease(1), .rollout(assignment))])
    }

    @Test func `weights that change cancel completions of the old version`() {
        var core = holding(Samples.policy(1), [.rollout])
        _ = core.handle(.received(.rollout(lease: lease(1), Samples.assignment(2, 0, version: 1))), at: .zero)
        #expect(
            core.handle(.received(.policy(Samples.policy(2))), at: .zero)
                == [.cancelWork(lease(1)), .loadPolicy(Samples.policy(2))])
    }

    @Test func `a sampler does not load weights again for an optimizer state, a learner does`() {
        var sampler = holding(Samples.policy(2), [.rollout])
        let full = Samples.policy(2, optimizer: true)
        #expect(
            sampler.handle(.received(.policy(full)), at: .zero)
                == [.send(.policyReady(full.version, weightsHash: full.weightsHash))])
        var learner = holding(Samples.policy(2))
        #expect(learner.handle(.received(.policy(full)), at: .zero) == [.loadPolicy(full)])
    }

    @Test func `the learner starts from the policy held, then goes on from its own state`() {
        var core = holding(Samples.policy(0))
        let first = core.handle(.received(.train(lease: lease(1), training(1))), at: .zero)
        #expect(first == [.restartLearner(Samples.policy(0)), .startWork(lease(1), .train(training(1), []))])
        let report = TrainingReport(step: 1, manifest: Samples.policy(1), metrics: [])
        _ = core.handle(.workFinished(lease(1), .trained(report, seconds: 1)), at: .zero)
        let second = core.handle(.received(.train(lease: lease(2), training(2))), at: .zero)
        #expect(second == [.startWork(lease(2), .train(training(2), []))])
    }

    @Test func `training that was cut short is not gone on from`() {
        var core = holding(Samples.policy(0))
        _ = core.handle(.received(.train(lease: lease(1), training(1))), at: .zero)
        #expect(core.handle(.received(.cancel(lease: lease(1))), at: .zero) == [.cancelWork(lease(1))])
        let again = core.handle(.received(.train(lease: lease(2), training(1))), at: .zero)
        #expect(again.first == .restartLearner(Samples.policy(0)))
        let failed = core.handle(.workFinished(lease(2), .failed(reason: "out of memory", retryable: true)), at: .zero)
        #expect(sends(failed) == [.failed(lease: lease(2), reason: "out of memory", retryable: true)])
        _ = core.handle(.received(.acknowledge(lease: lease(2))), at: .zero)
        let third = core.handle(.received(.train(lease: lease(3), training(1))), at: .zero)
        #expect(third.first == .restartLearner(Samples.policy(0)))
    }

    @Test func `pre-training leaves no learner state behind`() {
        var core = holding(Samples.policy(0))
        let assignment = PretrainingAssignment(sequences: [[1]], sequencesPerStep: 1, learningRate: 1)
        #expect(
            core.handle(.received(.pretrain(lease: lease(1), assignment)), at: .zero)
                == [.restartLearner(Samples.policy(0)), .startWork(lease(1), .pretrain(assignment))])
        var made = Samples.policy(0)
        made.weightsHash = Fingerprint(77).digest
        let report = TrainingReport(step: 0, manifest: made, metrics: [])
        _ = core.handle(.workFinished(lease(1), .trained(report, seconds: 1)), at: .zero)
        _ = core.handle(.received(.policy(made)), at: .zero)
        _ = core.handle(.policyLoaded(.base, weightsHash: made.weightsHash), at: .zero)
        let train = core.handle(.received(.train(lease: lease(2), training(1))), at: .zero)
        #expect(train.first == .restartLearner(made))
    }

    @Test func `a batch that arrives incomplete is declined, and one that arrives twice is taken once`() {
        var core = holding(Samples.policy(0))
        let groups = [1, 0].map { ordinal in
            CompletionGroup(
                prompt: ScriptedWork.prompt(Samples.key(1, ordinal), position: 0), completions: [], verdicts: [],
                rewards: [])
        }
        _ = core.handle(.received(.trainingGroup(lease: lease(1), groups[0])), at: .zero)
        let declined = core.handle(.received(.train(lease: lease(1), training(1, groups: 2))), at: .zero)
        #expect(
            sends(declined)
                == [.failed(lease: lease(1), reason: "step 1 has 2 groups, found 1", retryable: true)])
        for group in groups + groups { _ = core.handle(.received(.trainingGroup(lease: lease(2), group)), at: .zero) }
        let taken = core.handle(.received(.train(lease: lease(2), training(1, groups: 2))), at: .zero)
        #expect(taken.last == .startWork(lease(2), .train(training(1, groups: 2), groups.reversed())))
    }

    @Test func `another run voids everything held`() {
        var core = holding(Samples.policy(1))
        _ = core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
        let answer = core.handle(.received(.welcome(Samples.welcome("other"))), at: .zero)
        #expect(answer.contains(.cancelWork(lease(1))))
        #expect(answer.contains(.configure(Samples.welcome("other"))))
        let declined = core.handle(
            .received(.rollout(lease: lease(2), Samples.assignment(2, 0, version: 1))), at: .zero)
        guard case .failed = sends(declined).first else {
            Issue.record("the core said \(declined)")
            return
        }
    }

    @Test func `unacknowledged results are bounded`() {
        var core = joined([.verifier])
        // 16 + 4 × (2 rollout + 2 verification slots) = 32.
        var dropCount = 0
        for number in 1...40 as ClosedRange<UInt64> {
            var other = verification
            other.promptText = "\(number)"
            _ = core.handle(.received(.verify(lease: lease(number), other)), at: .zero)
            let effects = core.handle(.workFinished(lease(number), verdicts), at: .zero)
            for case .note(let note) in effects where note.text.contains("oldest is dropped") { dropCount += 1 }
        }
        #expect(dropCount == 8)
    }

    @Test func `leaving and being shut down end everything`() {
        var core = joined()
        _ = core.handle(.received(.verify(lease: lease(1), verification)), at: .zero)
        #expect(
            core.handle(.leave(reason: "signal"), at: .zero)
                == [.send(.goodbye(reason: "signal")), .cancelWork(lease(1)), .exit(reason: "signal", failure: false)])
        #expect(core.handle(.connected, at: .zero) == [])
        var other = joined()
        #expect(
            other.handle(.received(.shutdown(reason: "done")), at: .zero) == [.exit(reason: "done", failure: false)])
        #expect(other.nextDeadline == nil)
    }

    @Test func `partial text is passed on and the work goes on`() {
        var core = holding(Samples.policy(0))
        let score = ScoreAssignment(version: .base, tokens: [1])
        #expect(
            core.handle(.received(.score(lease: lease(1), score)), at: .zero) == [.startWork(lease(1), .score(score))])
        #expect(
            sends(core.handle(.workFinished(lease(1), .partialText("so")), at: .zero))
                == [.partialText(lease: lease(1), text: "so")])
        #expect(
            sends(core.handle(.workFinished(lease(1), .scored([-1])), at: .zero))
                == [.scoreResult(lease: lease(1), logProbs: [-1])])
    }
}
