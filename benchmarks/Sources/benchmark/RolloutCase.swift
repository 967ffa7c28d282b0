// How fast are completions sampled?

import ArgumentParser
import Measurement
import Rollouts

struct RolloutCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollout",
        abstract: "Tokens a second: decode and prefill by batch, a whole batch of groups, long queues, start-up.",
        discussion: """
            Prompts of 40 tokens, 64 sampled at temperature 1, ends ignored. Every round is a new process. --peer: \
            llama.cpp (bfloat16 weights, batched decode of several sequences, no sampling at all) and transformers \
            (bfloat16, sampling).
            """)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption

    func run() throws {
        var machine = Machine(threads: options.threads)
        let workload = RolloutWorkload(quick: options.quick)
        let cost = try ModelCost(path: options.model)
        let own = [
            "--threads", String(options.threads), "--model", options.model, "--precision",
            arithmetic.precision.rawValue,
        ] + (options.quick ? ["--quick"] : [])
        var contenders = [
            Contender("Rookery", process: { try .own([RolloutMeasurement.name] + own) })
        ]
        if options.peer {
            let peers = try Peers(threads: options.threads)
            let file = try Peers.bfloat16File(of: options.model)
            let folder = try Peers.huggingFaceFolder(of: options.model)
            contenders += [
                Contender("llama.cpp bf16") {
                    peers.process("rollout_llama.py", ["--model", file] + workload.arguments)
                },
                Contender("transformers bf16") {
                    peers.process("rollout_transformers.py", ["--model", folder] + workload.arguments)
                },
            ]
        }
        let contest = try Contest(contenders, rounds: options.roundCount)
        progress("queues")
        let queue = try Contest(
            [Contender("Rookery", process: { try .own([QueueMeasurement.name] + own) })], rounds: 1)
        machine.measure()
        let ceilings = RolloutCeilings(
            cost: cost, machine: machine.ceiling(arithmetic.precision), precision: arithmetic.precision,
            workload: workload)
        let findings = ceilings.findings(contest) + Self.queueFindings(queue.own)
        let circumstances = machine.circumstances(options) + [("precision", arithmetic.precision.rawValue)]
        try options.publish(Report(benchmark: "rollout", circumstances: circumstances, findings: findings))
    }

    private static func queueFindings(_ queue: Readings) -> [Finding] {
        var findings: [Finding] = []
        for name in queue.values.keys.filter({ $0.hasPrefix("queue_") }).sorted(by: numerically) {
            if let spread = queue.spread(name) { findings.append(Finding(name, spread, unit: "prompts/s")) }
        }
        if let flat = queue.spread("flatness") {
            findings.append(Finding("queue_longest_over_shortest", flat, unit: "×", ceiling: 1))
        }
        if let peak = queue.spread("peak_bytes") {
            findings.append(
                Finding("queue_peak_rss", Spread(peak.median / 1e9), unit: "GB", .lowerIsBetter))
        }
        return findings
    }

    private static func numerically(_ left: String, _ right: String) -> Bool {
        (left.count, left) < (right.count, right)
    }
}

/// What is asked of every contender.
struct RolloutWorkload {
    let promptTokens = 40
    let newTokens: Int
    let batches: [Int]
    let groups = 8
    let groupSize = 8

    init(quick: Bool) {
        newTokens = quick ? 8 : 64
        batches = quick ? [1, 8] : [1, 8, 32, 64]
    }

    var arguments: [String] {
        [
            "--prompt-tokens", String(promptTokens), "--new-tokens", String(newTokens), "--batches",
            batches.map(String.init).joined(separator: ","), "--groups", String(groups), "--group-size",
            String(groupSize),
        ]
    }
}

/// The least time that the arithmetic and the weights' way from memory allow.
struct RolloutCeilings {
    let cost: ModelCost
    let machine: MachineCeiling
    let precision: Precision
    let workload: RolloutWorkload

    private var weightBytes: Double { (cost.layerWeights + cost.headWeights) * precision.weightBytes }
    /// Keys that a decoded token attends to, on average.
    private var context: Double { Double(workload.promptTokens) + Double(workload.newTokens + 1) / 2 }

    func decodeStep(batch: Int) -> Double {
        // Caches are float32 in either arithmetic.
        let bytes = weightBytes + Double(batch) * context * cost.cacheBytes(elementBytes: 4)
        return machine.seconds(operations: Double(batch) * cost.decodeOperations(context: context), bytes: bytes)
    }

    /// One prompt: every token through the layers, the last one through the head.
    private func prefill(prompts: Int) -> Double {
        let tokens = Double(workload.promptTokens)
        let operations = tokens * cost.prefillOperations(context: (tokens + 1) / 2) + 2 * cost.headWeights
        return machine.seconds(operations: Double(prompts) * operations, bytes: weightBytes)
    }

    func findings(_ contest: Contest) -> [Finding] {
        var findings: [Finding?] = []
        for batch in workload.batches {
            findings.append(
                contest.finding(
                    "decode_\(batch)", unit: "tokens/s", ceiling: Double(batch) / decodeStep(batch: batch)))
        }
        for batch in workload.batches {
            findings.append(
                contest.finding(
                    "prefill_\(batch)", unit: "tokens/s",
                    ceiling: Double(batch * workload.promptTokens) / prefill(prompts: batch)))
        }
        let completions = workload.groups * workload.groupSize
        let job = prefill(prompts: workload.groups) + Double(workload.newTokens) * decodeStep(batch: completions)
        findings += [
            contest.finding(
                "job_\(completions)x\(workload.newTokens)", unit: "tokens/s",
                ceiling: Double(completions * workload.newTokens) / job),
            contest.finding("mixed_lengths", unit: "tokens/s"),
            contest.finding("slots_busy_share", unit: "share", ceiling: 1),
            contest.finding("slots_busy_share_while_waiting", unit: "share", ceiling: 1),
            contest.finding("startup", unit: "s", .lowerIsBetter),
            contest.finding("version_switch", unit: "s", .lowerIsBetter),
            contest.finding("version_switch_over_step", unit: "steps of \(completions)", .lowerIsBetter),
            contest.finding("peak_bytes", unit: "GB", .lowerIsBetter, scale: 1e-9),
        ]
        return findings.compactMap { $0 }
    }
}
