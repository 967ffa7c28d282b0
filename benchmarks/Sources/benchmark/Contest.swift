// Ours and the peers in turn: what is compared is measured in the same minutes.

import Foundation
import Measurement

struct Contender {
    let name: String
    let measure: (_ round: Int) throws -> Readings

    /// A process that is told when it was started, for its start-up time.
    init(_ name: String, process: @escaping () throws -> MeasuringProcess) {
        self.name = name
        measure = { _ in
            var process = try process()
            process.environment["ROOKERY_BENCHMARK_START"] = String(monotonicNanoseconds())
            return try process.readings()
        }
    }

    init(_ name: String, measure: @escaping (_ round: Int) throws -> Readings) {
        self.name = name
        self.measure = measure
    }
}

/// When the process that measures was started: by whoever started it, or now.
let processStart = ProcessInfo.processInfo.environment["ROOKERY_BENCHMARK_START"].flatMap { UInt64($0) }
    ?? monotonicNanoseconds()

struct Contest {
    /// By contender, ours first.
    private(set) var results: [(name: String, readings: Readings)]

    /// Runs every contender once a round, in order.
    init(_ contenders: [Contender], rounds: Int) throws {
        results = contenders.map { ($0.name, Readings()) }
        for round in 1...rounds {
            for (index, contender) in contenders.enumerated() {
                progress("round \(round)/\(rounds): \(contender.name)")
                let start = monotonicNanoseconds()
                results[index].readings.append(try contender.measure(round))
                progress("  \(numberText(seconds(since: start))) s")
            }
        }
    }

    var own: Readings { results[0].readings }

    /// - Parameter reading: its name in the readings, where it has another one.
    /// - Returns: nil when ours was not measured.
    func finding(
        _ name: String, reading: String? = nil, unit: String, _ direction: Direction = .higherIsBetter,
        scale: Double = 1, ceiling: Double? = nil
    ) -> Finding? {
        func spread(_ readings: Readings) -> Spread? { Spread(readings[reading ?? name].map { $0 * scale }) }
        guard let value = spread(own) else { return nil }
        let peers = results.dropFirst().compactMap { result in
            spread(result.readings).map { PeerValue(peer: result.name, value: $0) }
        }
        return Finding(name, value, unit: unit, direction, peers: peers, ceiling: ceiling)
    }
}

/// How many times faster all threads are than one. Both are measured in turn, a new process each.
struct ThreadScaling {
    private let contest: Contest

    /// - Parameter arguments: of a measurement of this program, threads left out.
    init(_ arguments: [String], threads: Int, rounds: Int) throws {
        contest = try Contest(
            [threads, 1].map { count in
                Contender(
                    "\(count) thread\(count == 1 ? "" : "s")",
                    process: { try .own(arguments + ["--threads", String(count)]) })
            }, rounds: rounds)
    }

    /// - Parameter name: of a reading that is a speed.
    func finding(_ title: String, of name: String, threads: Int) -> Finding? {
        let pairs = zip(contest.results[0].readings[name], contest.results[1].readings[name])
        return Spread(pairs.map { $0 / $1 }).map {
            Finding("\(title)_\(threads)_threads_over_1", $0, unit: "×", ceiling: Double(threads))
        }
    }
}

/// Says on standard error what is going on.
func progress(_ text: String) {
    FileHandle.standardError.write(Data((text + "\n").utf8))
}
