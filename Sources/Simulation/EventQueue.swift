// What happens next in simulated time: a binary heap keyed by (time, order of scheduling).

import Rollouts

struct EventQueue<Occurrence: Sendable>: Sendable {
    /// The heap moves these; what happens stays where it is. A heap of its own, because generics are not specialised
    /// across modules.
    private struct Entry: Sendable {
        var time: MonotonicTime
        var order: UInt64
        var place: Int
        @inline(__always)
        func comesBefore(_ other: Entry) -> Bool {
            time != other.time ? time < other.time : order < other.order
        }
    }
    private var heap: [Entry] = []
    private var count: UInt64 = 0
    private var occurrences: [Occurrence?] = []
    /// Places of `occurrences` that are empty.
    private var free: [Int] = []

    mutating func schedule(_ occurrence: Occurrence, at time: MonotonicTime) {
        count += 1
        var place = occurrences.count
        if let empty = free.popLast() {
            place = empty
            occurrences[place] = occurrence
        } else {
            occurrences.append(occurrence)
        }
        let entry = Entry(time: time, order: count, place: place)
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.comesBefore(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    mutating func next() -> (time: MonotonicTime, occurrence: Occurrence)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty { sift(last) }
        guard let occurrence = occurrences[first.place].take() else {
            preconditionFailure("occurrence \(first.order) was taken before")
        }
        free.append(first.place)
        return (first.time, occurrence)
    }

    /// Puts an entry where the first one was.
    private mutating func sift(_ entry: Entry) {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].comesBefore(heap[child]) { child += 1 }
            guard heap[child].comesBefore(entry) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = entry
    }
}
