import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct RunHistoryTests {
    private let fresh = RunStart(
        run: "test", checkpoint: Checkpoint(step: 0, manifest: Samples.policy(0), nextPosition: 0),
        welcome: Samples.welcome(),
        pretraining: PretrainingAssignment(sequences: [[1]], sequencesPerStep: 1, learningRate: 1))

    private func completions(_ step: Int, _ ordinal: Int) -> Record {
        .completionsAccepted(
            ScriptedWork.prompt(Samples.key(step, ordinal), position: ordinal), [Samples.completion(0)])
    }
    private func trained(_ step: Int) -> Record {
        let manifest = Samples.policy(UInt64(step))
        let metrics = StepMetrics(
            step: step, policyVersion: manifest.version, weightsHash: manifest.weightsHash, values: [])
        return .stepTrained(metrics, manifest: manifest, groups: [Samples.key(step, 0)], nextPosition: step)
    }

    @Test func `without a checkpoint the run begins again, with what was accepted`() {
        let history = RunHistory([
            completions(1, 0), .verdictsAccepted(Samples.key(1, 0), [.right("r")]), completions(1, 1), trained(1),
        ])
        let start = history.resumed(fresh, leaseEpoch: 1)
        #expect(start.checkpoint == fresh.checkpoint)
        #expect(start.pretraining == fresh.pretraining)
        #expect(start.accepted.map(\.verdicts) == [[.right("r")], nil])
        #expect(start.policies.map(\.version.rawValue) == [0, 1])
        #expect(history.trainedStep == 1)
    }

    @Test func `a checkpoint covers the groups of its steps and ends pre-training`() {
        let history = RunHistory([
            completions(1, 0), completions(2, 0), completions(3, 0), trained(1), trained(2),
            .checkpointed(Checkpoint(step: 2, manifest: Samples.policy(2, optimizer: true), nextPosition: 7)),
            completions(3, 1),
        ])
        let start = history.resumed(fresh, leaseEpoch: 4)
        #expect(start.checkpoint.step == 2)
        #expect(start.checkpoint.nextPosition == 7)
        #expect(start.pretraining == nil)
        #expect(start.leaseEpoch == 4)
        #expect(start.accepted.map(\.prompt.key) == [Samples.key(3, 0), Samples.key(3, 1)])
        #expect(start.policies.last?.optimizer != nil, "the checkpoint's manifest replaces the step's")
    }

    @Test func `who was told to leave is not asked to work after a restart`() {
        let history = RunHistory([
            .workerJoined(name: "a", host: "h", roles: [.rollout]), .workerDrained(name: "a"),
            .workerJoined(name: "b", host: "h", roles: [.rollout]), .workerDrained(name: "b"),
            .workerLeft(name: "a", reason: "drained by the operator"),
        ])
        #expect(history.resumed(fresh, leaseEpoch: 1).drained == ["a", "b"])
    }

    @Test func `a dropped group is not accepted, and a group accepted again counts once`() {
        let history = RunHistory([
            completions(1, 0), .groupDropped(Samples.key(1, 0), reason: "its policy is void"), completions(1, 1),
            completions(1, 1),
        ])
        #expect(history.accepted.map(\.prompt.key) == [Samples.key(1, 1)])
    }

    @Test func `a group that teaches nothing is kept until a checkpoint, so that it is not sampled again`() {
        var history = RunHistory([completions(1, 0), .groupDropped(Samples.key(1, 0), reason: "all rewards are equal")])
        #expect(history.accepted.map(\.prompt.key) == [Samples.key(1, 0)])
        history.apply(.checkpointed(Checkpoint(step: 1, manifest: Samples.policy(1, optimizer: true), nextPosition: 1)))
        #expect(history.accepted == [])
    }

    @Test func `an evaluation at the checkpoint keeps the groups it has`() {
        let prompt = ScriptedWork.prompt(GroupKey(purpose: .evaluation, step: 2, ordinal: 0), position: 0)
        let history = RunHistory([
            .completionsAccepted(prompt, [Samples.completion(0)]), trained(2),
            .checkpointed(Checkpoint(step: 2, manifest: Samples.policy(2, optimizer: true), nextPosition: 2)),
        ])
        #expect(history.accepted.map(\.prompt.key) == [prompt.key])
    }

    @Test func `a step that is trained again undoes the evaluations after it`() {
        let report = EvaluationReport(
            step: 1, version: PolicyVersion(1), right: 0, wrong: 0, noVerdict: 0, completionTokensMean: 0, bySource: [],
            examples: [])
        var before = report
        before.step = 0
        var history = RunHistory([.evaluated(before), trained(1), .evaluated(report)])
        #expect(history.evaluatedSteps == [0, 1])
        history.apply(trained(1))
        #expect(history.evaluatedSteps == [0])
    }

    @Test func `a finished run says how, until it goes on`() {
        var history = RunHistory([trained(1), .finished(.interrupted(step: 1))])
        #expect(history.outcome == .interrupted(step: 1))
        history.apply(trained(2))
        #expect(history.outcome == nil)
    }

    @Test func `a lag that needs a policy the store lost ends the run with a reason`() {
        var options = RunOptions()
        options.schedule.steps = 9
        options.schedule.lag = 2
        var start = fresh
        start.leaseEpoch = 1
        start.pretraining = nil
        start.checkpoint = Checkpoint(step: 5, manifest: Samples.policy(5, optimizer: true), nextPosition: 5)
        start.policies = [Samples.policy(3)]
        var coordinator = Coordinator(options: options, start: start)
        let effects = coordinator.handle(.start, at: .zero)
        let reason =
            "lag 2 needs policy version 4, which the store does not have; "
            + "resume from an earlier checkpoint or set schedule.lag: 0"
        #expect(effects.last == .finish(.failed(step: 5, reason: reason)))
        #expect(coordinator.handle(.tick, at: .zero) == [])
        #expect(coordinator.nextDeadline == nil)
    }

    @Test func `a store that fails to store the end is the end`() {
        var options = RunOptions()
        options.schedule.steps = 0
        options.evaluation.everySteps = 0
        var start = fresh
        start.pretraining = nil
        var coordinator = Coordinator(options: options, start: start)
        let end = coordinator.handle(.start, at: .zero)
        #expect(end == [.persist(.finished(.completed(step: 0))), .finish(.completed(step: 0))])
        let failed = coordinator.handle(.storeFailed(reason: "disk full"), at: .zero)
        guard case .finish(.failed(0, let reason)) = failed.last else {
            Issue.record("the core said \(failed)")
            return
        }
        #expect(reason == "the run's store failed: disk full; free space or mend the disk, then go on with --resume")
        #expect(coordinator.handle(.storeFailed(reason: "disk full"), at: .zero) == [])
    }
}
