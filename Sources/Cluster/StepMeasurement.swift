// The numbers of one step, in the order in which metrics.jsonl has them.

import Rollouts

/// Rewards, accuracy and lengths are over every group drawn for the step, dropped ones included: what the policy did,
/// not what was trained. Rewards are the verifier's scores, without any shuffling.
struct StepMeasurement {
    /// The learner's metrics that have a fixed place; others follow them in the learner's order.
    private static let learnerNames = [
        "kl_mean", "importance_ratio_max", "clip_share", "entropy_mean", "gradient_norm", "loss",
    ]
    private static let learnSpeed = "learn_tokens_per_second"

    var batch: StepBatch
    var report: TrainingReport
    var learningRate: Double
    var secondsLearn: Double
    var secondsPublish: Double
    /// From the step before to this one.
    var seconds: Double
    var workerCount: Int
    /// Learners that computed the step's gradient; nil where they cannot share it.
    var learnerCount: Int?
    /// Whether tokens of one step may be of several versions.
    var isInflight = false

    func metrics() -> StepMetrics {
        let groups = batch.groups
        let scores = groups.flatMap { $0.judged.map(\.score) }
        let mean = Self.mean(scores)
        let deviation = Self.mean(scores.map { ($0 - mean) * ($0 - mean) }).squareRoot()
        let rightCount = groups.reduce(0) { $0 + $1.judged.filter { $0.outcome == .right }.count }
        let completions = groups.flatMap(\.completions)
        let tokenCount = completions.reduce(0) { $0 + $1.tokens.count }
        let truncatedCount = completions.filter { $0.finish == .length }.count
        let trained = batch.trainable.map { groups[$0] }
        let trainedTokenCount = trained.reduce(0) { $0 + $1.completions.reduce(0) { $0 + $1.tokens.count } }
        let secondsRollout = Self.seconds(from: batch.dispatchedAt, to: batch.lastCompletedAt)
        let sampled = UInt64(max(0, batch.step - 1))
        let exact = trained.isEmpty ? 0 : sampled - min(sampled, batch.version.rawValue)
        let staleness =
            isInflight
            ? Staleness(of: trained, sampledFor: sampled) : Staleness(max: Double(exact), mean: Double(exact))

        var values: [StepMetrics.Value] = []
        func add(_ name: String, _ value: Double) {
            values.removeAll { $0.name == name }
            values.append(StepMetrics.Value(name: name, value: value))
        }
        add("reward_mean", mean)
        add("reward_std", deviation)
        add("accuracy", Self.share(rightCount, of: scores.count))
        add("completion_tokens_mean", Self.share(tokenCount, of: completions.count))
        add("truncated_share", Self.share(truncatedCount, of: completions.count))
        for name in Self.learnerNames {
            if let value = report.metrics.first(where: { $0.name == name }) { values.append(value) }
        }
        for value in report.metrics where !Self.learnerNames.contains(value.name) && value.name != Self.learnSpeed {
            values.append(value)
        }
        add("learning_rate", learningRate)
        add("rollout_tokens_per_second", secondsRollout > 0 ? Double(tokenCount) / secondsRollout : 0)
        let learnSpeed = secondsLearn > 0 ? Double(trainedTokenCount) / secondsLearn : 0
        add(Self.learnSpeed, report.metrics.first { $0.name == Self.learnSpeed }?.value ?? learnSpeed)
        add("seconds_rollout", secondsRollout)
        add("seconds_verify", Self.seconds(from: batch.lastCompletedAt, to: batch.closedAt))
        add("seconds_learn", secondsLearn)
        add("seconds_publish", secondsPublish)
        add("staleness_max", staleness.max)
        if isInflight { add("staleness_mean", staleness.mean) }
        add("no_verdict_count", Double(batch.noVerdictCount))
        add("groups_trained", Double(trained.count))
        add("groups_dropped", Double(groups.count - trained.count))
        add("prompts_drawn", Double(groups.count))
        add("workers", Double(workerCount))
        if let learnerCount { add("learners", Double(learnerCount)) }
        add("seconds", seconds)
        return StepMetrics(
            step: batch.step, policyVersion: report.manifest.version, weightsHash: report.manifest.weightsHash,
            values: values)
    }

    /// Over the tokens that are trained: the version that is updated minus the one that sampled.
    private struct Staleness {
        var max = 0.0
        var mean = 0.0

        init(max: Double, mean: Double) { (self.max, self.mean) = (max, mean) }

        init(of groups: [TrackedGroup], sampledFor base: UInt64) {
            var sum = 0.0
            var count = 0
            for completion in groups.flatMap(\.completions) {
                for version in completion.versions {
                    let staleness = Double(base - Swift.min(base, version.rawValue))
                    max = Swift.max(max, staleness)
                    sum += staleness
                    count += 1
                }
            }
            mean = count == 0 ? 0 : sum / Double(count)
        }
    }

    private static func mean(_ values: [Double]) -> Double {
        values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
    }
    private static func share(_ part: Int, of whole: Int) -> Double {
        whole == 0 ? 0 : Double(part) / Double(whole)
    }
    private static func seconds(from start: MonotonicTime?, to end: MonotonicTime?) -> Double {
        guard let start, let end, end > start else { return 0 }
        return (end - start).inSeconds
    }
}
