// What happens next in simulated time: a binary heap keyed by (time, order of scheduling).

import Rollouts

struct EventQueue<Occurrence: Sendable>: Sendable {
    private struct Entry: Sendable {
        var time: MonotonicTime
        var order: UInt64
        var occurrence: Occurrence
        func comesBefore(_ other: Entry) -> Bool { (time.nanoseconds, order) < (other.time.nanoseconds, other.order) }
    }
    private var heap: [Entry] = []
    private var count: UInt64 = 0

    mutating func schedule(_ occurrence: Occurrence, at time: MonotonicTime) {
        count += 1
        heap.append(Entry(time: time, order: count, occurrence: occurrence))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].comesBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func next() -> (time: MonotonicTime, occurrence: Occurrence)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                    if heap[child].comesBefore(heap[least]) { least = child }
                }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return (first.time, first.occurrence)
    }
}
