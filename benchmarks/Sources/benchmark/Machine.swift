// What this machine can do at best, and what the figures were taken on.

import CPeak
import Engine
import Foundation
import Measurement
import Rollouts

/// Measured once in a run: peaks are the fastest of several tries, since nothing makes a try faster than it can be.
struct Machine {
    struct Peak {
        let name: String
        /// Operations a second, one thread and all of them.
        let one, all: Double
    }
    let peaks: [Peak]
    /// Bytes a second read from memory by all threads.
    let bytesPerSecond: Double
    let threads: ThreadPool

    init(threads count: Int) {
        threads = ThreadPool(threadCount: count)
        var loops: [UnsafePointer<peak_loop>] = []
        while let next = peak_loop_at(Int64(loops.count)) { loops.append(next) }
        let single = ThreadPool(threadCount: 1)
        let (pool, threadCount) = (threads, count)
        peaks = loops.filter { $0.pointee.supported() != 0 }.map { loop in
            Peak(
                name: String(cString: loop.pointee.name), one: Self.speed(loop, single, 1),
                all: Self.speed(loop, pool, threadCount))
        }
        bytesPerSecond = Self.bandwidth(pool)
    }

    func peak(named name: String) -> Peak? { peaks.first { $0.name == name } }

    /// The best that any instruction allows this arithmetic: float32 cannot use bfloat16's dot product.
    func ceiling(_ precision: Precision) -> MachineCeiling {
        let usable = peaks.filter { precision == .bfloat16 || $0.name != "avx512_bf16" }
        return MachineCeiling(
            operationsPerSecond: usable.map(\.all).max() ?? 1, bytesPerSecond: bytesPerSecond)
    }

    private static func speed(_ loop: UnsafePointer<peak_loop>, _ pool: ThreadPool, _ count: Int) -> Double {
        struct Loop: @unchecked Sendable { let pointer: UnsafePointer<peak_loop> }  // a constant of the C target
        let loop = Loop(pointer: loop)
        let rounds: Int64 = 1_000_000
        let results = UnsafeMutablePointer<Float>.allocate(capacity: count)
        defer { results.deallocate() }
        var best = Double.infinity
        for _ in 0..<9 {
            best = min(
                best, timed { pool.parallel(count) { part in results[part] = loop.pointer.pointee.run(rounds) } })
        }
        return Double(rounds * loop.pointer.pointee.operations) * Double(count) / best
    }

    /// 512 MiB, beyond the caches that one tenant usually gets.
    private static func bandwidth(_ pool: ThreadPool) -> Double {
        let count = 64 << 20
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        words.initialize(repeating: 1, count: count)
        defer { words.deallocate() }
        let parts = pool.threadCount
        let sums = UnsafeMutablePointer<UInt64>.allocate(capacity: parts)
        defer { sums.deallocate() }
        var best = Double.infinity
        for _ in 0..<7 {
            best = min(
                best,
                timed {
                    pool.parallel(parts) { part in
                        let start = count * part / parts
                        sums[part] = peak_read(words + start, Int64(count * (part + 1) / parts - start))
                    }
                })
        }
        return Double(count * MemoryLayout<UInt64>.stride) / best
    }

    /// What every report begins with.
    func circumstances(_ options: CommonOptions) -> [(name: String, value: String)] {
        let peakTexts = peaks.map { "\($0.name) \(numberText($0.one / 1e9)) / \(numberText($0.all / 1e9))" }
        return [
            ("machine", Self.processor),
            ("commit", Self.commit),
            ("threads", "\(options.threads) of \(ProcessInfo.processInfo.activeProcessorCount) processors"),
            ("peak GFLOP/s, 1 thread / all", peakTexts.joined(separator: ", ")),
            ("memory read", "\(numberText(bytesPerSecond / 1e9)) GB/s"),
            ("load before", Self.load),
        ]
    }

    /// Of others too: figures from a busy machine are worth little.
    private static let load: String = {
        var loads = [Double](repeating: 0, count: 1)
        return getloadavg(&loads, 1) == 1 ? numberText(loads[0]) : "unknown"
    }()

    private static var processor: String {
        // Without it the name is unknown, which is what it then says.
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let name = text.split(separator: "\n").first { $0.hasPrefix("model name") }?
            .split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
        return name ?? "unknown"
    }

    private static var commit: String {
        let git = MeasuringProcess(
            executable: "/usr/bin/env", arguments: ["git", "describe", "--always", "--dirty", "--abbrev=10"])
        // A copy without git has no commit to name.
        let text = (try? git.output())?.trimmingCharacters(in: .whitespacesAndNewlines)
        return text.flatMap { $0.isEmpty ? nil : $0 } ?? "unknown"
    }
}
