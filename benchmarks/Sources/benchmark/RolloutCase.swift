// How fast are completions sampled?

import ArgumentParser
import Measurement
import Rollouts

struct RolloutCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollout",
        abstract: "Tokens a second: decode and prefill by batch and context, whole batches, long queues, start-up.",
        discussion: """
            Prompts of 40 tokens, 64 sampled at temperature 1, ends ignored. Every round is a new process. Decoding after \
            long prompts is measured once, with as many sequences as --context-batch says. --peer: \
            llama.cpp (bfloat16 weights, batched decode of several sequences, no sampling at all) and transformers \
            (bfloat16, sampling).
            """)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption
    @OptionGroup var peerChoice: PeerChoice

    @Option(help: "Sequences that are decoded together after long prompts.")
    var contextBatch = 8

    func validate() throws {
        guard (1...64).contains(contextBatch) else {
            throw ValidationError("--context-batch \(contextBatch): from 1 to 64")
        }
    }

    func run() throws {
        var machine = Machine(threads: options.threads)
        let workload = RolloutWorkload(quick: options.quick)
        let cost = try ModelCost(path: options.model)
        let general = ["--model", options.model, "--precision", arithmetic.precision.rawValue]
            + (options.quick ? ["--quick"] : [])
        let own = general + ["--threads", String(options.threads)]
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
        let contest = try Contest(peerChoice.chosen(contenders), rounds: options.roundCount)
        progress("queues")
        let queue = try Contest(
            [Contender("Rookery", process: { try .own([QueueMeasurement.name] + own) })], rounds: 1)
        progress("contexts")
        let contexts = try Contest(
            [Contender("Rookery", process: { try .own(workload.contextArguments(batch: contextBatch) + own) })],
            rounds: 1)
        let scaling = try options.scales
            ? ThreadScaling(workload.scalingArguments + general, threads: options.threads, rounds: options.roundCount)
            : nil
        machine.measure()
        let ceilings = RolloutCeilings(
            cost: cost, machine: machine.ceiling(arithmetic.precision), precision: arithmetic.precision,
            workload: workload)
        let findings = ceilings.findings(contest)
            + ceilings.contextFindings(contexts, batch: contextBatch)
            + [workload.scalingFinding(scaling, threads: options.threads)].compactMap { $0 }
            + Self.queueFindings(queue.own)
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
    /// Lengths of prompts after which decoding is measured, and tokens sampled there.
    let contexts: [Int]
    let contextTokens = 24

    init(quick: Bool) {
        newTokens = quick ? 8 : 64
        batches = quick ? [1, 8] : [1, 8, 32, 64]
        contexts = quick ? [64, 512] : [64, 512, 1024, 2048, 4096]
    }

    func contextArguments(batch: Int) -> [String] {
        [
            DecodeMeasurement.name, "--batch", String(batch), "--contexts",
            contexts.map(String.init).joined(separator: ","), "--new", String(contextTokens),
        ]
    }

    /// The largest batch, decoded by one thread and by all.
    var scalingArguments: [String] {
        [
            DecodeMeasurement.name, "--batch", String(batches.last!), "--contexts", String(promptTokens), "--new",
            String(newTokens),
        ]
    }

    func scalingFinding(_ scaling: ThreadScaling?, threads: Int) -> Finding? {
        let batch = batches.last!
        return scaling?.finding(
            "decode_\(batch)", of: DecodeMeasurement.reading(batch: batch, context: promptTokens), threads: threads)
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

    func decodeStep(batch: Int) -> Double { decodeStep(batch: batch, context: context) }

    private func decodeStep(batch: Int, context: Double) -> Double {
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

    /// Sequences that share nothing, after prompts of several lengths.
    func contextFindings(_ contest: Contest, batch: Int) -> [Finding] {
        workload.contexts.compactMap { length in
            let mean = Double(length) + Double(workload.contextTokens + 1) / 2
            return contest.finding(
                DecodeMeasurement.reading(batch: batch, context: length), unit: "tokens/s",
                ceiling: Double(batch) / decodeStep(batch: batch, context: mean))
        }
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
            // Lengths are unknown before they end, so a job's last completions cannot fill all slots: what a schedule
            // reaches that never leaves one free while a completion waits.
            contest.finding(
                "slots_busy_share", unit: "share", ceiling: contest.own.spread("slots_busy_share_possible")?.median),
            contest.finding("slots_busy_share_while_waiting", unit: "share", ceiling: 1),
            contest.finding("startup", unit: "s", .lowerIsBetter),
            contest.finding("version_switch", unit: "s", .lowerIsBetter),
            contest.finding("version_switch_over_step", unit: "steps of \(completions)", .lowerIsBetter),
            contest.finding("peak_bytes", unit: "GB", .lowerIsBetter, scale: 1e-9),
        ]
        return findings.compactMap { $0 }
    }
}
