// How fast is a batch learned?

import ArgumentParser
import Measurement
import Rollouts

struct LearnCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "learn",
        abstract: "Forward, backward and AdamW over 8 groups of 8 completions: 40 prompt and 64 sampled tokens each.",
        discussion: """
            All completions have an advantage, so nothing is skipped. Every round is a new process; one micro-batch \
            warms up. --peer: PyTorch (transformers' LlamaForCausalLM, micro-batches of 16, logits of the completion \
            only, fused AdamW), under bfloat16 autocast and in float32.
            """)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption
    @OptionGroup var peerChoice: PeerChoice

    func run() throws {
        var machine = Machine(threads: options.threads)
        let workload = LearnWorkload(quick: options.quick)
        let measurement = [
            LearnMeasurement.name, "--model", options.model, "--precision", arithmetic.precision.rawValue,
        ] + (options.quick ? ["--quick"] : [])
        let own = measurement + ["--threads", String(options.threads)]
        var contenders = [Contender("Rookery", process: { try .own(own) })]
        if options.peer {
            let peers = try Peers(threads: options.threads)
            let folder = try Peers.huggingFaceFolder(of: options.model)
            for (name, precision) in [("PyTorch bf16 autocast", "bfloat16"), ("PyTorch f32", "float32")] {
                contenders.append(
                    Contender(name) {
                        peers.process(
                            "learn_torch.py",
                            ["--model", folder, "--precision", precision] + workload.arguments)
                    })
            }
        }
        let contest = try Contest(peerChoice.chosen(contenders), rounds: options.roundCount)
        let scaling = try options.scales
            ? ThreadScaling(measurement, threads: options.threads, rounds: options.roundCount) : nil
        machine.measure()
        let operations = workload.operations(try ModelCost(path: options.model))
        let least = machine.ceiling(arithmetic.precision).seconds(operations: operations)
        let findings = [
            contest.finding(
                "sequences", unit: "sequences/s", ceiling: Double(workload.sequences) / least),
            contest.finding("tokens", unit: "tokens/s", ceiling: Double(workload.tokens) / least),
            contest.finding("step", unit: "s", .lowerIsBetter, ceiling: least),
            contest.finding("forward", unit: "s", .lowerIsBetter),
            contest.finding("backward", unit: "s", .lowerIsBetter),
            contest.finding("adamw", unit: "s", .lowerIsBetter),
            contest.finding("peak_bytes", unit: "GB", .lowerIsBetter, scale: 1e-9),
            scaling?.finding("sequences", of: "sequences", threads: options.threads),
        ].compactMap { $0 }
        let circumstances = machine.circumstances(options) + [
            ("precision", arithmetic.precision.rawValue),
            ("work", "\(workload.sequences) sequences of \(workload.promptTokens) + \(workload.newTokens) tokens"),
        ]
        try options.publish(Report(benchmark: "learn", circumstances: circumstances, findings: findings))
    }
}

struct LearnWorkload {
    let groups: Int
    let groupSize = 8
    let promptTokens = 40
    let newTokens = 64
    /// Sequences of a peer's micro-batch.
    let microBatch = 16

    init(quick: Bool) { groups = quick ? 2 : 8 }

    var sequences: Int { groups * groupSize }
    /// As a program counts that computes a prompt for every completion of it.
    var tokens: Int { sequences * (promptTokens + newTokens) }

    var arguments: [String] {
        [
            "--sequences", String(sequences), "--prompt-tokens", String(promptTokens), "--new-tokens",
            String(newTokens), "--micro-batch", String(microBatch),
        ]
    }

    /// What this batch needs at least: a group's prompt once, and a completion's last token, which predicts nothing,
    /// not at all.
    func operations(_ cost: ModelCost) -> Double {
        let completionRows = groupSize * (newTokens - 1)
        let rows = Double(groups * (promptTokens + completionRows))
        // Keys that rows attend to, all together.
        let promptKeys = Double(promptTokens * (promptTokens + 1)) / 2
        let completionKeys = Double(completionRows) * (Double(promptTokens) + Double(newTokens) / 2)
        let context = Double(groups) * (promptKeys + completionKeys) / rows
        return cost.trainingOperations(rows: rows, predicted: Double(sequences * newTokens), context: context)
    }
}
