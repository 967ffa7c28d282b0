// How near are gradients of bfloat16 products to those of float32?

import ArgumentParser
import Foundation
import Measurement

struct GradientsCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gradients",
        abstract: "A step's gradient under bfloat16 against float32, tensor by tensor.",
        discussion: """
            The model answers sums of small numbers; completions of one prompt are rewarded, rewards are scaled by \
            group, and one step's gradient is computed twice. --peer: PyTorch on the same tokens and advantages, \
            bfloat16 autocast against its float32.
            """)

    @OptionGroup var options: CommonOptions

    @Option(help: "Batches, each of other prompts: a round each.")
    var batches = 1

    func validate() throws {
        guard (1...100).contains(batches) else { throw ValidationError("--batches \(batches): from 1 to 100") }
    }

    func run() throws {
        let machine = Machine(threads: options.threads)
        let batch = NSTemporaryDirectory() + "rookery-benchmark-batch-\(getpid()).json"
        defer { try? FileManager.default.removeItem(atPath: batch) }  // a leftover in the temporary folder harms nobody
        var contenders = [
            Contender("Rookery") { round in
                try MeasuringProcess.own(
                    [
                        GradientsMeasurement.name, "--threads", String(options.threads), "--model", options.model,
                        "--batch", batch, "--number", String(round),
                    ] + (options.quick ? ["--quick"] : [])
                ).readings()
            }
        ]
        if options.peer {
            let peers = try Peers(threads: options.threads)
            let folder = try Peers.huggingFaceFolder(of: options.model)
            contenders.append(
                Contender("PyTorch bf16 autocast") { _ in
                    try peers.process("gradients_torch.py", ["--model", folder, "--batch", batch]).readings()
                })
        }
        let contest = try Contest(contenders, rounds: batches)
        let findings = [
            contest.finding("from_1_whole", unit: "1 − cosine", .lowerIsBetter),
            contest.finding("from_1_median", unit: "1 − cosine", .lowerIsBetter),
            contest.finding("from_1_most", unit: "1 − cosine", .lowerIsBetter),
            contest.finding("tensors_from_0.999", unit: "%", scale: 100),
            contest.finding("tensors", unit: "", .neither), contest.finding("tokens", unit: "", .neither),
            contest.finding("norm_ratio", unit: "", .neither),
        ].compactMap { $0 }
        try options.publish(
            Report(
                benchmark: "gradients", circumstances: machine.circumstances(options) + [("batches", "\(batches)")],
                findings: findings))
    }
}
