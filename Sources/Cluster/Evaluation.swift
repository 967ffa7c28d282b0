// Held-out evaluation: its groups, and the report when all of them are judged.

import Rollouts

/// One evaluation at a time, of the newest policy, before the next step is trained. Its groups go through the same
/// schedulers as those of training, under their own purpose.
struct Evaluation: Equatable, Sendable {
    private static let exampleCount = 6

    private(set) var batch: StepBatch?
    private(set) var evaluatedSteps: [Int]
    private let prompts: [Prompt]
    private let samplesPerPrompt: Int
    private let sampling: SamplingOptions

    init(options: RunOptions, start: RunStart) {
        prompts = start.evaluationPrompts
        evaluatedSteps = start.evaluatedSteps.filter { $0 <= start.checkpoint.step }
        samplesPerPrompt = max(1, options.evaluation.samplesPerPrompt)
        var sampling = options.rollout.sampling
        sampling.temperature = options.evaluation.temperature ?? sampling.temperature
        self.sampling = sampling
    }

    func isDone(after step: Int) -> Bool { prompts.isEmpty || evaluatedSteps.contains(step) }

    /// Opens the evaluation of the policy of this step.
    mutating func open(after step: Int) {
        var batch = StepBatch(
            purpose: .evaluation, step: step, version: PolicyVersion(UInt64(step)), position: 0)
        batch.requestedCount = prompts.count
        batch.groups = prompts.enumerated().map { ordinal, prompt in
            var prompt = prompt
            prompt.key = GroupKey(purpose: .evaluation, step: step, ordinal: ordinal)
            return TrackedGroup(prompt: prompt)
        }
        batch.count()
        self.batch = batch
    }

    func assignment(_ prompt: Prompt, seed: UInt64) -> RolloutAssignment {
        RolloutAssignment(
            prompt: prompt, groupSize: samplesPerPrompt, version: PolicyVersion(UInt64(prompt.key.step)),
            sampling: sampling, seed: seed)
    }

    mutating func change(_ change: (inout StepBatch) -> Void) {
        guard var changed = batch else { return }
        batch = nil
        change(&changed)
        batch = changed
    }

    mutating func close() {
        guard let batch else { return }
        evaluatedSteps.append(batch.step)
        self.batch = nil
    }

    mutating func abandon() { batch = nil }

    /// The run went back: evaluations after this step are made again.
    mutating func rewind(to step: Int) {
        evaluatedSteps.removeAll { $0 > step }
    }

    static func report(on batch: StepBatch) -> EvaluationReport {
        var report = EvaluationReport(
            step: batch.step, version: batch.version, right: 0, wrong: 0, noVerdict: 0, completionTokensMean: 0,
            bySource: [], examples: [])
        var completionCount = 0
        var tokenCount = 0
        for group in batch.groups {
            completionCount += group.completions.count
            tokenCount += group.completions.reduce(0) { $0 + $1.tokens.count }
            for verdict in group.verdicts {
                switch verdict.outcome {
                case .right: report.right += 1
                case .wrong: report.wrong += 1
                case .noVerdict: report.noVerdict += 1
                }
                count(verdict, of: group.prompt.source, in: &report.bySource)
            }
        }
        report.completionTokensMean = completionCount == 0 ? 0 : Double(tokenCount) / Double(completionCount)
        report.examples = examples(from: batch.groups)
        return report
    }

    private static func count(
        _ verdict: Verdict, of source: String, in counts: inout [EvaluationReport.SourceCount]
    ) {
        let index: Int
        if let known = counts.firstIndex(where: { $0.source == source }) {
            index = known
        } else {
            index = counts.count
            counts.append(EvaluationReport.SourceCount(source: source, right: 0, judged: 0))
        }
        if verdict.outcome != .noVerdict { counts[index].judged += 1 }
        if verdict.outcome == .right { counts[index].right += 1 }
    }

    /// The first completions of evenly spaced groups.
    private static func examples(from groups: [TrackedGroup]) -> [EvaluationReport.Example] {
        let shown = groups.filter { !$0.verdicts.isEmpty }
        let count = min(exampleCount, shown.count)
        return (0..<count).map { place in
            let group = shown[place * shown.count / count]
            return EvaluationReport.Example(
                prompt: group.prompt.text, completion: group.completions[0].text, answer: group.prompt.answer,
                outcome: group.verdicts[0].outcome)
        }
    }
}
