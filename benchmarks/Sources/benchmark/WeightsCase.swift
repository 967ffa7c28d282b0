// How many bytes does a new version of the weights travel as, and how soon does every worker have it?

import ArgumentParser
import Foundation
import Measurement

struct WeightsCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weights",
        abstract: "A new version from the end of learning to the last of 4 workers: bytes, and seconds part by part.",
        discussion: """
            AdamW updates of the model on gradients of 64 sequences, bfloat16 snapshots. Local workers map the file; \
            remote ones fetch it over loopback TCP, by what differs and whole. Ready is: hash proved, weights packed. \
            `again`: the file written a second time, into memory that the first one has just given back. \
            --peer: Ray, an object of the same bytes fetched and copied by 4 actors, of one node and of 4 nodes.
            """)

    @OptionGroup var options: CommonOptions

    @Option(help: "Updates at each learning rate.")
    var updates = 3

    @Option(help: "Workers, of each kind.")
    var workers = 4

    func validate() throws {
        guard (1...100).contains(updates) else { throw ValidationError("--updates \(updates): from 1 to 100") }
        guard (1...64).contains(workers) else { throw ValidationError("--workers \(workers): from 1 to 64") }
    }

    func run() throws {
        let machine = Machine(threads: options.threads)
        var contenders = [
            Contender(
                "Rookery",
                process: {
                    try MeasuringProcess.own(
                        [
                            WeightsMeasurement.name, "--threads", String(options.threads), "--model", options.model,
                            "--updates", String(updates), "--workers", String(workers),
                        ] + (options.quick ? ["--quick"] : []))
                })
        ]
        if options.peer {
            let peers = try Peers(threads: options.threads)
            let bytes = try WeightsMeasurement.snapshotBytes(of: options.model)
            contenders.append(
                Contender(
                    "Ray",
                    process: {
                        peers.process("weights_ray.py", ["--bytes", String(bytes), "--workers", String(workers)])
                    }))
        }
        let contest = try Contest(contenders, rounds: options.roundCount)
        let seconds = [
            "write", "write_again", "compare", "apply", "verify", "pack", "local_ready", "local_ready_again",
            "tcp_difference_fetched", "tcp_difference_ready", "tcp_whole_fetched", "tcp_whole_ready",
        ]
        let findings = [
            contest.finding("share_at_1e-6", unit: "% of the whole", .lowerIsBetter, scale: 100),
            contest.finding("share_at_2e-5", unit: "% of the whole", .lowerIsBetter, scale: 100),
            contest.finding("bytes_at_1e-6", unit: "MB", .lowerIsBetter, scale: 1e-6),
            contest.finding("whole_bytes", unit: "MB", .neither, scale: 1e-6),
        ] + seconds.map { contest.finding($0, unit: "s", .lowerIsBetter) }
        let circumstances = machine.circumstances(options) + [
            ("precision", "bfloat16"), ("updates", "\(updates) at each learning rate"),
            ("workers", "\(workers), as threads of one process"),
        ]
        try options.publish(
            Report(benchmark: "weights", circumstances: circumstances, findings: findings.compactMap { $0 }))
    }
}
