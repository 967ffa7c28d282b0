// How many prompts go out and completions come back in a second?

import ArgumentParser
import Measurement

struct DispatchCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dispatch",
        abstract: "Groups a second through the real sockets, envelope, core and store; workers answer at once.",
        discussion: """
            1 KB out, 4 KB in (a group of four completions), over loopback TCP; every group is also stored durably, \
            judged by a second order and answer, and handed to a learner. `one by one`: a worker holds one group at \
            a time; `batched`: \(DispatchCase.window), so that what arrives together is one transaction. In turn \
            with each: libzmq alone, a ROUTER that sends 1 KB and gets 4 KB back, one by one. --peer: Ray actors, a \
            method that takes 1 KB and returns 4 KB.
            """)
    static let window = 8

    @OptionGroup var options: CommonOptions

    @Flag(help: "Encrypted connections; Ray's are plain all the same.")
    var curve = false

    @Option(help: "How many workers: one number, or several with commas.")
    var workers = "2,8,32,200"

    @Option(help: "Groups of one measurement.")
    var groups = 4000

    func run() throws {
        var machine = Machine(threads: options.threads)
        let peers = options.peer ? try Peers(threads: options.threads) : nil
        var findings: [Finding] = []
        for count in try counts() {
            let contest = try contest(count, peers)
            let bare = contest.results.first { $0.name == Self.bareName }?.readings.spread("per_second")
            let batched = contest.results.first { $0.name == Self.batchedName }?.readings
            findings += [
                contest.finding("one_by_one_\(count)", reading: "per_second", unit: "groups/s", ceiling: bare?.median),
                batched?.spread("per_second").map {
                    Finding("batched_\(count)", $0, unit: "groups/s", ceiling: bare?.median)
                },
                batched?.spread("completions_per_second").map {
                    Finding("batched_completions_\(count)", $0, unit: "completions/s", ceiling: bare?.median)
                },
                batched?.spread("records_per_transaction").map {
                    Finding("batched_records_\(count)", $0, unit: "records a commit", .neither)
                },
            ].compactMap { $0 }
        }
        machine.measure()
        let circumstances = machine.circumstances(options) + [("encrypted", curve ? "yes" : "no")]
        try options.publish(Report(benchmark: "dispatch", circumstances: circumstances, findings: findings))
    }

    private static let bareName = "ROUTER/DEALER"
    private static let batchedName = "Rookery batched"

    private func counts() throws -> [Int] {
        let counts = workers.split(separator: ",").compactMap { Int($0) }
        guard !counts.isEmpty, counts.allSatisfy({ (1...4096).contains($0) }) else {
            throw ValidationError("--workers \(workers): numbers from 1 to 4096, with commas")
        }
        return counts
    }

    private func contest(_ count: Int, _ peers: Peers?) throws -> Contest {
        let groups = options.quick ? min(self.groups, 600) : self.groups
        let common = [DispatchMeasurement.name, "--workers", "\(count)", "--groups", "\(groups)"]
            + (curve ? ["--curve"] : [])
        var contenders = [
            Contender("Rookery one by one", process: { try .own(common) }),
            Contender(Self.batchedName, process: { try .own(common + ["--window", "\(Self.window)"]) }),
            Contender(Self.bareName, process: { try .own(common + ["--bare"]) }),
        ]
        if let peers {
            if count <= 8 {
                contenders.append(
                    Contender("Ray actors") {
                        peers.process("dispatch_ray.py", ["--workers", "\(count)", "--calls", "\(groups)"])
                    })
            } else {
                progress("Ray is measured with up to 8 workers: each is a Python process of 100 MB")
            }
        }
        progress("\(count) workers")
        return try Contest(contenders, rounds: options.roundCount)
    }
}
