// What this machine can do at best, and what the figures were taken on.

import CPeak
import Engine
import Foundation
import Measurement
import Rollouts

/// The fastest of several tries, before and after what is measured: other programs make a try slower, nothing makes
/// one faster than the machine can be.
struct Machine {
    struct Peak {
        let name: String
        /// Operations a second, one thread and all of them.
        let one, all: Double
    }
    private(set) var peaks: [Peak] = []
    /// Bytes a second read from memory by all threads.
    private(set) var bytesPerSecond = 0.0
    let threads: ThreadPool

    /// Processors' worth of work before anything was measured, the last minute's mean; nil when unknown.
    private let load: Double?

    init(threads count: Int) {
        var loads = [0.0]
        load = getloadavg(&loads, 1) == 1 ? loads[0] : nil
        if let load, load > 0.5 {
            progress("load \(numberText(load)): other programs are at work here, and these figures show it")
        }
        threads = ThreadPool(threadCount: count)
        measure()
    }

    /// Once more, keeping the better.
    mutating func measure() {
        let count = threads.threadCount
        var loops: [UnsafePointer<peak_loop>] = []
        while let next = peak_loop_at(Int64(loops.count)) { loops.append(next) }
        let single = ThreadPool(threadCount: 1)
        peaks = loops.filter { $0.pointee.supported() != 0 }.map { loop in
            let name = String(cString: loop.pointee.name)
            let before = peak(named: name)
            return Peak(
                name: name, one: max(before?.one ?? 0, Self.speed(loop, single, 1)),
                all: max(before?.all ?? 0, Self.speed(loop, threads, count)))
        }
        bytesPerSecond = max(bytesPerSecond, Self.bandwidth(threads))
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

    /// As many bytes as SmolLM2's bfloat16 weights, again and again: whatever a cache holds of those it may hold of
    /// these.
    private static func bandwidth(_ pool: ThreadPool) -> Double {
        let bytes = 256 << 20
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 2 << 20)
        defer { memory.deallocate() }
        madvise(memory, bytes, MADV_HUGEPAGE)
        let words = memory.initializeMemory(as: UInt64.self, repeating: 1, count: bytes / 8)
        // Shares small enough to even out delays.
        let parts = pool.threadCount * 16
        let sums = UnsafeMutablePointer<UInt64>.allocate(capacity: parts)
        defer { sums.deallocate() }
        var best = Double.infinity
        for _ in 0..<9 {
            best = min(
                best,
                timed {
                    pool.parallel(parts) { part in
                        let (start, end) = (bytes / 8 * part / parts, bytes / 8 * (part + 1) / parts)
                        sums[part] = peak_read(words + start, Int64(end - start))
                    }
                })
        }
        return Double(bytes) / best
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
            ("load before", load.map(numberText) ?? "unknown"),
        ]
    }

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
