import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct BatchTests {
    private func group(_ step: Int, _ ordinal: Int, _ verdicts: [Verdict]) -> TrackedGroup {
        var group = TrackedGroup(prompt: ScriptedWork.prompt(Samples.key(step, ordinal), position: ordinal))
        group.state = .judged
        group.completions = verdicts.indices.map { Samples.completion($0) }
        group.verdicts = verdicts
        return group
    }

    private func buffer(drop: Bool, prompts: Int = 2, refill: Int = 2, replayTokensLimit: Int = 1000) -> RolloutBuffer {
        var options = RunOptions()
        options.rollout.promptsPerStep = prompts
        options.algorithm.dropEqualGroups = drop
        options.algorithm.refillLimit = refill
        return RolloutBuffer(options: options, replayTokensLimit: replayTokensLimit)
    }

    private func open(_ buffer: inout RolloutBuffer, step: Int = 1, position: Int = 0) {
        buffer.open(StepBatch(purpose: .training, step: step, version: .base, position: position))
    }

    @Test func `a group has spread when two judged completions differ`() {
        #expect(group(1, 0, [.right("r"), .wrong("w")]).hasSpread)
        #expect(!group(1, 0, [.right("r"), .right("r")]).hasSpread)
        #expect(!group(1, 0, [.right("r"), .noVerdict("x")]).hasSpread, "no verdict is no reward of 0")
        #expect(!group(1, 0, [.noVerdict("x"), .noVerdict("x")]).hasSpread)
    }

    @Test func `equal groups stay where they are not dropped`() {
        var buffer = buffer(drop: false)
        open(&buffer)
        #expect(buffer.settle(1, at: .zero) == .draw(0..<2))
        #expect(buffer.nextPosition(afterCheckpoint: 0) == 2)
        let groups = (0..<2).map { group(1, $0, [.right("r"), .right("r")]) }
        buffer.change(1) { $0.groups = groups }
        guard case .closed(let batch) = buffer.settle(1, at: .zero) else {
            Issue.record("not closed")
            return
        }
        #expect(batch.trainable == [0, 1])
    }

    @Test func `dropped groups are replaced in prompt order, and the cursor follows`() {
        var buffer = buffer(drop: true)
        open(&buffer, position: 10)
        #expect(buffer.settle(1, at: .zero) == .draw(0..<2))
        #expect(buffer.nextPosition(afterCheckpoint: 10) == nil, "how many are drawn is undecided")
        let spread = [Verdict.right("r"), .wrong("w")]
        let first = [group(1, 0, [.wrong("w"), .wrong("w")]), group(1, 1, spread)]
        buffer.change(1) { $0.groups = first }
        #expect(buffer.settle(1, at: .zero) == .draw(2..<3))
        let third = group(1, 2, spread)
        buffer.change(1) { $0.groups.append(third) }
        guard case .closed(let batch) = buffer.settle(1, at: .zero) else {
            Issue.record("not closed")
            return
        }
        #expect(batch.trainable == [1, 2])
        #expect(buffer.nextPosition(afterCheckpoint: 10) == 13)
        #expect(buffer.settle(1, at: .zero) == .waiting, "a closed batch needs nothing")
    }

    @Test func `a batch with too many missing verdicts is not closed`() {
        var buffer = buffer(drop: false)
        open(&buffer)
        _ = buffer.settle(1, at: .zero)
        let groups = [
            group(1, 0, [.right("r"), .noVerdict("x")]), group(1, 1, [.noVerdict("x"), .noVerdict("x")]),
        ]
        buffer.change(1) { $0.groups = groups }
        #expect(buffer.settle(1, at: .zero) == .unverified(share: 0.75))
    }

    @Test func `trained batches beyond the limit are let go, oldest first, and reopened when needed again`() {
        // A group has a prompt of 2 tokens and two completions of 2: 6 tokens.
        var buffer = buffer(drop: false, prompts: 1, replayTokensLimit: 12)
        for step in 1...4 {
            open(&buffer, step: step, position: step - 1)
            _ = buffer.settle(step, at: .zero)
            let group = group(step, 0, [.right("r"), .wrong("w")])
            buffer.change(step) { $0.groups = [group] }
            _ = buffer.settle(step, at: .zero)
        }
        buffer.shed(trainedThrough: 3)
        #expect(buffer.batches.map(\.isShed) == [true, false, false, false], "step 4 is not trained yet")
        #expect(buffer[1]?.nextPosition == 1)
        buffer.reopen(after: 0)
        #expect(buffer.settle(1, at: .zero) == .draw(0..<1))
        #expect(buffer[1]?.position == 0)
        buffer.forget(through: 2)
        #expect(buffer.batches.map(\.step) == [3, 4])
    }

    @Test func `batches sampled with a void policy are let go`() {
        var buffer = buffer(drop: false)
        for step in 1...3 {
            buffer.open(
                StepBatch(
                    purpose: .training, step: step, version: PolicyVersion(UInt64(step - 1)), position: 2 * step))
        }
        #expect(buffer.void { $0 > 1 }.map(\.step) == [2, 3])
        #expect(buffer.batches.map(\.step) == [1])
    }

    @Test func `shuffled rewards are the same rewards in other places`() {
        let verdicts = [
            Verdict.right("r", score: 1), .noVerdict("x"), .wrong("w", score: 0.25), .wrong("w", score: 0.5),
            .wrong("w", score: 0.75),
        ]
        let plain = Rewards.rewards(of: verdicts, in: Samples.key(1, 0), shuffleSeed: nil)
        #expect(plain == [1, 0, 0.25, 0.5, 0.75])
        let shuffled = (0..<20).map { Rewards.rewards(of: verdicts, in: Samples.key(1, $0), shuffleSeed: 7) }
        for rewards in shuffled {
            #expect(rewards[1] == 0, "a completion without a verdict takes no part")
            #expect(rewards.sorted() == plain.sorted())
        }
        // 20 groups, 24 orders each: all unmoved by chance is 24^-20.
        #expect(shuffled.contains { $0 != plain })
        #expect(Rewards.rewards(of: verdicts, in: Samples.key(1, 3), shuffleSeed: 7) == shuffled[3])
    }
}

@Suite struct StepMeasurementTests {
    @Test func `a step's numbers have their names, their order and their values`() {
        var batch = StepBatch(purpose: .training, step: 3, version: PolicyVersion(1), position: 0)
        batch.requestedCount = 2
        let verdicts: [[Verdict]] = [[.right("r"), .wrong("w")], [.right("r"), .noVerdict("x")]]
        for (ordinal, verdicts) in verdicts.enumerated() {
            var group = TrackedGroup(prompt: ScriptedWork.prompt(Samples.key(3, ordinal), position: ordinal))
            group.state = .judged
            group.verdicts = verdicts
            group.completions = [
                Samples.completion(0, tokens: [1, 2, 3], finish: .length), Samples.completion(1, tokens: [4]),
            ]
            batch.groups.append(group)
        }
        batch.trainable = [0]
        batch.dispatchedAt = Samples.time(10)
        batch.lastCompletedAt = Samples.time(14)
        batch.closedAt = Samples.time(15)
        let report = TrainingReport(
            step: 3, manifest: Samples.policy(3),
            metrics: [
                .init(name: "loss", value: 0.5), .init(name: "kl_mean", value: 0.1),
                .init(name: "pages_read", value: 9), .init(name: "workers", value: 77),
            ])
        let metrics = StepMeasurement(
            batch: batch, report: report, learningRate: 0.01, secondsLearn: 2, secondsPublish: 0.25, seconds: 8,
            workerCount: 3
        ).metrics()
        #expect(metrics.step == 3)
        #expect(metrics.policyVersion == PolicyVersion(3))
        #expect(metrics.weightsHash == Samples.policy(3).weightsHash)
        // Judged scores 1, 0, 1: mean 2/3, population deviation √2/3. Tokens 3, 1, 3, 1 over 4 s.
        let expected: [(String, Double)] = [
            ("reward_mean", 2.0 / 3), ("reward_std", 2.0.squareRoot() / 3), ("accuracy", 2.0 / 3),
            ("completion_tokens_mean", 2), ("truncated_share", 0.5), ("kl_mean", 0.1), ("loss", 0.5),
            ("pages_read", 9), ("learning_rate", 0.01), ("rollout_tokens_per_second", 2),
            ("learn_tokens_per_second", 2), ("seconds_rollout", 4), ("seconds_verify", 1), ("seconds_learn", 2),
            ("seconds_publish", 0.25), ("staleness_max", 1), ("no_verdict_count", 1), ("groups_trained", 1),
            ("groups_dropped", 1), ("prompts_drawn", 2), ("workers", 3), ("seconds", 8),
        ]
        #expect(metrics.values.map(\.name) == expected.map(\.0))
        for (value, pair) in zip(metrics.values, expected) {
            #expect(abs(value.value - pair.1) < 1e-12, "\(pair.0): expected \(pair.1), found \(value.value)")
        }
    }
}
