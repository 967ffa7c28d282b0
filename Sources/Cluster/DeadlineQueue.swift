// Which of many things falls due first.

import Rollouts

/// A binary heap of small numbers (places, slots) by time, in which the time of each can be moved or taken away.
/// Setting and taking away: O(log n). Looking at the first: O(1). Equal times: in no particular order.
struct DeadlineQueue: Equatable, Sendable {
    private struct Entry: Equatable, Sendable {
        var time: MonotonicTime
        var number: Int
    }
    private var heap: [Entry] = []
    /// By number: where it is in the heap; -1: nowhere.
    private var places: [Int] = []

    /// The earliest time.
    var first: MonotonicTime? { heap.first?.time }

    /// The earliest time after this one. What is due should have been dealt with: a look at it costs O(due).
    func first(after now: MonotonicTime) -> MonotonicTime? {
        guard let first = heap.first else { return nil }
        if first.time > now { return first.time }
        var earliest: MonotonicTime?
        var open = [0]
        while let place = open.popLast() {
            if heap[place].time > now {
                earliest = earliest.map { min($0, heap[place].time) } ?? heap[place].time
            } else {
                open += [2 * place + 1, 2 * place + 2].filter { $0 < heap.count }
            }
        }
        return earliest
    }

    /// Those whose time is this or earlier, ascending. O(found).
    func due(at now: MonotonicTime) -> [Int] {
        guard let first = heap.first, first.time <= now else { return [] }
        var due: [Int] = []
        var open = [0]
        while let place = open.popLast() {
            guard heap[place].time <= now else { continue }
            due.append(heap[place].number)
            open += [2 * place + 1, 2 * place + 2].filter { $0 < heap.count }
        }
        return due.sorted()
    }

    /// - Parameter time: nil takes the number away.
    mutating func set(_ number: Int, to time: MonotonicTime?) {
        let place = number < places.count ? places[number] : -1
        guard let time else {
            if place >= 0 { remove(at: place) }
            return
        }
        let entry = Entry(time: time, number: number)
        if place >= 0 {
            let former = heap[place].time
            if time < former { siftUp(entry, from: place) } else if time > former { siftDown(entry, from: place) }
            return
        }
        while places.count <= number { places.append(-1) }
        heap.append(entry)
        siftUp(entry, from: heap.count - 1)
    }

    /// The number is gone: those above it are one less. O(n).
    mutating func close(_ number: Int) {
        set(number, to: nil)
        if number < places.count { places.remove(at: number) }
        for place in heap.indices where heap[place].number > number { heap[place].number -= 1 }
    }

    private mutating func remove(at place: Int) {
        places[heap[place].number] = -1
        let last = heap.removeLast()
        guard place < heap.count else { return }
        if place > 0, last.time < heap[(place - 1) / 2].time {
            siftUp(last, from: place)
        } else {
            siftDown(last, from: place)
        }
    }

    private mutating func siftUp(_ entry: Entry, from start: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.time < heap[parent].time else { break }
            put(heap[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private mutating func siftDown(_ entry: Entry, from start: Int) {
        var place = start
        while true {
            var child = 2 * place + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].time < heap[child].time { child += 1 }
            guard heap[child].time < entry.time else { break }
            put(heap[child], at: place)
            place = child
        }
        put(entry, at: place)
    }

    private mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        places[entry.number] = place
    }
}
