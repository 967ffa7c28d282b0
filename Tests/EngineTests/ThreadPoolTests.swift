// Is every part of a computation done exactly once, before `parallel` returns?
import Engine
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 5]) func `every part runs exactly once`(_ threadCount: Int) {
        let pool = ThreadPool(threadCount: threadCount)
        for round in 0..<2_000 {
            let count = round % 11
            let runs = (0..<count).map { _ in Counter() }
            pool.parallel(count) { runs[$0].value.add(1, ordering: .relaxed) }
            #expect(runs.allSatisfy { $0.value.load(ordering: .relaxed) == 1 })
        }
    }

    /// Every round reads what the round before wrote on other threads.
    @Test func `what parts wrote is seen by the next call`() {
        let pool = ThreadPool(threadCount: 3)
        var values = [Int](repeating: 1, count: 64)
        values.withUnsafeMutableBufferPointer { values in
            for _ in 0..<500 { pool.parallel(64) { values[63 - $0] += 1 } }
        }
        #expect(values == [Int](repeating: 501, count: 64))
    }

    @Test func `a pool has at least the calling thread`() {
        #expect(ThreadPool().threadCount >= 1)
    }

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }
}
