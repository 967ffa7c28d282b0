// What time it is, for this process and those it starts.

import Glibc

/// Nanoseconds of the system's monotonic clock, which is the same in all processes.
func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func seconds(since start: UInt64) -> Double { Double(monotonicNanoseconds() - start) * 1e-9 }

/// Seconds that the body takes.
func timed(_ body: () throws -> Void) rethrows -> Double {
    let start = monotonicNanoseconds()
    try body()
    return seconds(since: start)
}

/// Seconds of one call, once for each round. A round calls the body as often as fits into `least` seconds, at least
/// once; one round before them, which counts for nothing, warms up.
func timings(rounds: Int, least: Double, _ body: () -> Void) -> [Double] {
    let first = timed(body)
    let calls = max(1, Int((least / max(first, 1e-9)).rounded(.up)))
    // The first call paid for page faults and cold caches: another estimate from a few of them.
    let few = min(calls, 3)
    let estimate = timed { for _ in 0..<few { body() } } / Double(few)
    let count = max(1, Int((least / max(estimate, 1e-9)).rounded(.up)))
    return (0..<rounds).map { _ in timed { for _ in 0..<count { body() } } / Double(count) }
}
