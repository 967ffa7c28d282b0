// One optimizer step measured in this process: prints its readings as one line.

import ArgumentParser
import Engine
import Measurement
import PolicyOptimization
import Rollouts

struct LearnMeasurement: ParsableCommand {
    static let name = "measure-learn"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption

    /// Tokens whose gradients are one sum under bfloat16, as a learner's are.
    private static let unitTokens = 1024

    func run() throws {
        let workload = LearnWorkload(quick: options.quick)
        let model = try BenchmarkModel(
            path: options.model, threads: options.threads, precision: arithmetic.precision, for: .learning)
        let trainer = Trainer(model: model.transformer(), options: OptimizerOptions())
        let groups = (0..<workload.groups).map { group in
            SequenceGroup(
                prompt: model.tokens(workload.promptTokens, of: group),
                completions: (0..<workload.groupSize).map {
                    model.tokens(workload.newTokens, of: 1000 + group * workload.groupSize + $0)
                })
        }
        let passes = passes(workload, tokenBudget: trainer.options.tokenBudget)
        let loss = PolicyLoss(
            options: AlgorithmOptions(),
            totals: LossTotals(
                tokenCount: workload.sequences * workload.newTokens, sequenceCount: workload.sequences,
                constantLength: workload.newTokens))

        var clock = PassClock()
        clock.run(trainer, Array(groups[passes[0].groups]), passes[0].units, loss)
        _ = trainer.update(learningRate: 1e-6)

        clock = PassClock()
        let start = monotonicNanoseconds()
        for pass in passes { clock.run(trainer, Array(groups[pass.groups]), pass.units, loss) }
        let adamw = timed {
            let norm = trainer.update(learningRate: 1e-6)
            precondition(norm.isFinite && norm > 0, "the gradient norm is \(norm)")
        }
        let step = seconds(since: start)
        print(
            Readings([
                "sequences": [Double(workload.sequences) / step], "tokens": [Double(workload.tokens) / step],
                "step": [step], "forward": [clock.forward], "backward": [clock.backward], "adamw": [adamw],
                "peak_bytes": [ProcessMemory.peakBytes],
            ]).line)
    }

    /// As `Compute.TrainingBatch` cuts a step: whole units in a pass, within the token budget.
    private func passes(_ workload: LearnWorkload, tokenBudget: Int) -> [(groups: Range<Int>, units: [Int])] {
        let shape = GroupShape(
            promptTokenCount: workload.promptTokens,
            completionTokenCounts: Array(repeating: workload.newTokens, count: workload.groupSize))
        let shapes = Array(repeating: shape, count: workload.groups)
        let exact = arithmetic.precision == .bfloat16
        let units = microBatches(of: shapes, tokenBudget: exact ? Self.unitTokens : tokenBudget)
        var passes: [(groups: Range<Int>, units: [Int])] = []
        var tokens = 0
        var next = 0
        for unit in units {
            let count = unit.parts.count
            if exact, !passes.isEmpty, tokens + unit.tokenCount <= tokenBudget {
                passes[passes.count - 1].units.append(count)
                passes[passes.count - 1].groups = passes[passes.count - 1].groups.lowerBound..<next + count
                tokens += unit.tokenCount
            } else {
                passes.append((next..<next + count, [count]))
                tokens = unit.tokenCount
            }
            next += count
        }
        precondition(next == workload.groups, "a group of this shape is never cut")
        return passes
    }
}

/// Adds up the time of passes before and after the loss.
private struct PassClock {
    var forward = 0.0
    var backward = 0.0

    /// On-policy: old log-probs are the new ones. Advantages +1 and −1 by turns.
    mutating func run(_ trainer: Trainer, _ groups: [SequenceGroup], _ units: [Int], _ loss: PolicyLoss) {
        let start = monotonicNanoseconds()
        var middle = start
        trainer.accumulate(groups, units: units, temperature: 1) { scores in
            var sequences: [Range<Int>] = []
            var groupRanges: [Range<Int>] = []
            for group in groups {
                let first = sequences.count
                for completion in group.completions {
                    let token = sequences.last?.upperBound ?? 0
                    sequences.append(token..<token + completion.count)
                }
                groupRanges.append(first..<sequences.count)
            }
            let batch = TokenBatch(
                sequences: sequences, groups: groupRanges, oldLogProbs: scores.logProbs, referenceLogProbs: nil,
                advantages: sequences.indices.map { $0 % 2 == 0 ? 1 : -1 },
                mask: [Bool](repeating: true, count: scores.logProbs.count))
            let result = loss.evaluate(batch: batch, logProbs: scores.logProbs, entropies: scores.entropies)
            middle = monotonicNanoseconds()
            return TokenGradients(logProbs: result.gradient, entropies: result.entropyGradient)
        }
        forward += Double(middle - start) * 1e-9
        backward += seconds(since: middle)
    }
}
