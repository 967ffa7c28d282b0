// What do many workers cost the coordinator before they do anything?

import ArgumentParser
import Measurement

struct JoinCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Seconds until all workers have joined over CURVE, the coordinator's share of a core for their "
            + "heartbeats, its memory for each.",
        discussion: """
            All workers' sockets are in one other process on this machine, each with a key of its own: its handshakes \
            count too. 5,000 need about 15,000 file descriptors.
            """)

    @OptionGroup var options: CommonOptions

    @Option(help: "How many join.")
    var workers = 5000

    @Option(help: "How many beat in the second measurement.")
    var beating = 1000

    @Option(help: "Seconds between a worker's heartbeats.")
    var heartbeat = 5.0

    func run() throws {
        var machine = Machine(threads: options.threads)
        func contest(_ count: Int) throws -> Contest {
            let arguments = [
                JoinMeasurement.name, "--workers", "\(count)", "--heartbeat", "\(heartbeat)",
                "--watch", options.quick ? "3" : "15",
            ]
            return try Contest([Contender("Rookery", process: { try .own(arguments) })], rounds: options.roundCount)
        }
        let many = options.quick ? min(workers, 200) : workers
        let storm = try contest(many)
        let beats = try contest(options.quick ? min(beating, 200) : beating)
        machine.measure()
        let findings = [
            storm.finding("joined_s", unit: "s, \(many) workers", .lowerIsBetter),
            storm.finding("bytes_per_worker", unit: "KiB", .lowerIsBetter, scale: 1 / 1024),
            beats.finding(
                "heartbeat_core_share", unit: "% of a core, \(beating) workers", .lowerIsBetter, scale: 100),
            storm.finding("heartbeat_core_share", unit: "% of a core, \(many) workers", .lowerIsBetter, scale: 100),
        ].compactMap { $0 }
        try options.publish(
            Report(benchmark: "join", circumstances: machine.circumstances(options), findings: findings))
    }
}
