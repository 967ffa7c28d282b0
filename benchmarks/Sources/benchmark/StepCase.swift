// How long is a step of a whole run, and does it learn?

import ArgumentParser
import Foundation
import Measurement
import Rollouts

struct StepCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step",
        abstract: "A whole GRPO run by the real programs: 8 prompts × 8 completions, sums of two small numbers.",
        discussion: """
            benchmarks/recipes/step.yaml through `coordinator start` and its workers. A seed is a round; the default is \
            one. --peer: TRL's GRPOTrainer with the same settings, in float32 and under bfloat16 autocast \
            (about 15 minutes each a seed).
            """)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption
    @OptionGroup var peerChoice: PeerChoice

    @Option(help: "How many seeds, from 1 on; each is measured by every contender before the next.")
    var seeds: Int?

    @Option(help: "Optimizer steps. Default: 12, with --quick 2.")
    var steps: Int?

    func validate() throws {
        if let seeds, seeds < 1 { throw ValidationError("--seeds \(seeds): at least 1") }
        if let steps, steps < 1 { throw ValidationError("--steps \(steps): at least 1") }
    }

    func run() throws {
        var machine = Machine(threads: options.threads)
        let stepCount = steps ?? (options.quick ? 2 : 12)
        let coordinator = try Programs.coordinator()
        let run = WholeRun(
            coordinator: coordinator, options: options, precision: arithmetic.precision, steps: stepCount,
            newTokens: options.quick ? 8 : 32)
        var contenders = [Contender("Rookery", measure: { seed in try run.measure(seed: seed) })]
        if options.peer {
            let peers = try Peers(threads: options.threads)
            let folder = try Peers.huggingFaceFolder(of: options.model)
            for (name, precision) in [("TRL f32", "float32"), ("TRL bf16 autocast", "bfloat16")] {
                contenders.append(
                    Contender(name) { seed in
                        let arguments = [
                            "--model", folder, "--precision", precision, "--steps", String(stepCount),
                            "--new-tokens", String(run.newTokens), "--seed", String(seed),
                        ]
                        return try peers.process("step_trl.py", arguments).readings()
                    })
            }
        }
        let contest = try Contest(peerChoice.chosen(contenders), rounds: seeds ?? options.rounds ?? 1)
        machine.measure()
        let findings = try findings(contest, machine, stepCount)
        let circumstances = machine.circumstances(options) + [
            ("precision", arithmetic.precision.rawValue), ("steps", "\(stepCount)"),
            ("seeds", "\(seeds ?? options.rounds ?? 1)"),
        ]
        try options.publish(
            Report(benchmark: "step", circumstances: circumstances, findings: findings),
            details: Self.courses(contest, stepCount))
    }

    private func findings(_ contest: Contest, _ machine: Machine, _ stepCount: Int) throws -> [Finding] {
        let own = contest.own
        let cost = try ModelCost(path: options.model)
        let least = machine.ceiling(arithmetic.precision).seconds(operations: Self.operations(own, cost))
        let steps = Double(own["seconds"].count)
        return [
            contest.finding("seconds", unit: "s/step", .lowerIsBetter, ceiling: least / steps),
            contest.finding("wall", unit: "s", .lowerIsBetter),
            contest.finding("completion_tokens_per_second", unit: "tokens/s"),
            contest.finding("seconds_rollout", unit: "s/step", .lowerIsBetter),
            contest.finding("seconds_learn", unit: "s/step", .lowerIsBetter),
            contest.finding("reward_first_step", unit: "reward", .neither),
            contest.finding("reward_last_three_steps", unit: "reward"),
            contest.finding("length_first_step", unit: "tokens", .neither),
            contest.finding("length_last_step", unit: "tokens", .neither),
            contest.finding("importance_ratio_max", unit: "ratio", .neither),
            contest.finding("peak_bytes", unit: "GB", .lowerIsBetter, scale: 1e-9),
        ].compactMap { $0 }
    }

    /// What all steps of ours needed at least: prompts once a group, every sampled token, training of what was learned.
    private static func operations(_ own: Readings, _ cost: ModelCost) -> Double {
        let prompt = Double(WholeRun.promptTokens)
        var sum = 0.0
        for ((length, sampled), learned) in zip(
            zip(own["length"], own["completion_tokens"]), own["tokens_learned"])
        {
            let context = prompt + length / 2
            let predicted = learned * length / (length + prompt / Double(WholeRun.groupSize))
            sum += Double(WholeRun.groups) * prompt * cost.prefillOperations(context: prompt / 2)
                + sampled * cost.decodeOperations(context: context)
                + cost.trainingOperations(rows: learned, predicted: predicted, context: context)
        }
        return sum
    }

    /// Step by step, one column a contender: means over the seeds.
    private static func courses(_ contest: Contest, _ steps: Int) -> [(title: String, table: TextTable)] {
        [("reward", "Reward by step"), ("length", "Mean length by step"), ("seconds", "Seconds by step")].map {
            name, title in
            var table = TextTable(["step"] + contest.results.map(\.name))
            for step in 0..<steps {
                let cells = contest.results.map { result in
                    let values = stride(from: step, to: result.readings[name].count, by: steps).map {
                        result.readings[name][$0]
                    }
                    return Spread(values).map { _ in numberText(values.reduce(0, +) / Double(values.count)) } ?? ""
                }
                table.add([String(step + 1)] + cells)
            }
            return (title, table)
        }
    }
}
