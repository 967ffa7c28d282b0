// What happens next in simulated time: a binary heap keyed by (time, order of scheduling).

import Cluster
import Rollouts

struct EventQueue<Occurrence: Sendable>: Sendable {
    /// The heap moves these; what happens stays where it is.
    private struct Entry: Comparable, Sendable {
        var time: MonotonicTime
        var order: UInt64
        var slot: Int
        static func < (left: Self, right: Self) -> Bool {
            left.time != right.time ? left.time < right.time : left.order < right.order
        }
    }
    private var heap = Heap<Entry>()
    private var count: UInt64 = 0
    private var occurrences = Slots<Occurrence>()

    mutating func schedule(_ occurrence: Occurrence, at time: MonotonicTime) {
        count += 1
        heap.insert(Entry(time: time, order: count, slot: occurrences.insert(occurrence)))
    }

    mutating func next() -> (time: MonotonicTime, occurrence: Occurrence)? {
        heap.popFirst().map { ($0.time, occurrences.remove($0.slot)) }
    }
}
