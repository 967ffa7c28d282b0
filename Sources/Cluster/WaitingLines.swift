// Which unit is given out next.

import Rollouts

/// Where a unit stands among those that wait: compared from the first field to the last.
struct UnitOrder: Equatable, Comparable, Sendable {
    /// Units of a line need the same of a worker: that it holds this policy version.
    var line: UInt64 = 0
    var major = 0
    var minor = 0
    var ordinal = 0
    /// Equal ones stand as they came.
    var insertion: UInt64 = 0

    init() {}
    /// In one line, by key.
    init(_ key: GroupKey) {
        (major, minor, ordinal) = (key.step, Int(key.purpose.rawValue), key.ordinal)
    }
    init(line: UInt64, major: Int, minor: Int, ordinal: Int) {
        (self.line, self.major, self.minor, self.ordinal) = (line, major, minor, ordinal)
    }

    @inline(__always)
    static func < (left: Self, right: Self) -> Bool {
        if left.line != right.line { return left.line < right.line }
        if left.major != right.major { return left.major < right.major }
        if left.minor != right.minor { return left.minor < right.minor }
        if left.ordinal != right.ordinal { return left.ordinal < right.ordinal }
        return left.insertion < right.insertion
    }
}

/// Slots of units that may be given out, a heap for each line. Adding, and taking the first: O(log n). Removing: O(1),
/// what is left of it in the heap is skipped later.
struct WaitingLines: Equatable, Sendable {
    private struct Waiter: Comparable, Sendable {
        var order: UnitOrder
        var slot: Int
        var stamp: UInt64
        static func < (left: Self, right: Self) -> Bool { left.order < right.order }
    }

    private struct Line: Equatable, Sendable {
        let number: UInt64
        var heap = Heap<Waiter>()
        var count = 0
        var checkCount = 0
    }

    /// Of a slot: the waiter that counts; stamp 0: it does not wait.
    private struct Filed: Equatable, Sendable {
        var stamp: UInt64 = 0
        var line: UInt64 = 0
        var isCheck = false
    }

    /// Ascending; only those in which somebody waits.
    private var lines: [Line] = []
    private var filed: [Filed] = []
    private var stampCount: UInt64 = 0
    /// Looks at a first one so far.
    private(set) var lookCount = 0

    var isEmpty: Bool { lines.isEmpty }

    /// Waiting units per line without and with spot checks, lines ascending.
    var counts: [(line: UInt64, count: Int, checkCount: Int)] {
        lines.map { ($0.number, $0.count, $0.checkCount) }
    }

    func contains(_ slot: Int) -> Bool { slot < filed.count && filed[slot].stamp != 0 }

    /// The first line, or the one after that with this number.
    func line(after number: UInt64?) -> UInt64? {
        guard let number else { return lines.first?.number }
        return lines.first { $0.number > number }?.number
    }

    mutating func add(_ slot: Int, _ order: UnitOrder, isCheck: Bool) {
        while filed.count <= slot { filed.append(Filed()) }
        precondition(filed[slot].stamp == 0, "slot \(slot) waits twice")
        stampCount += 1
        filed[slot] = Filed(stamp: stampCount, line: order.line, isCheck: isCheck)
        let index = lines.firstIndex { $0.number >= order.line } ?? lines.count
        if index == lines.count || lines[index].number != order.line {
            lines.insert(Line(number: order.line), at: index)
        }
        if isCheck { lines[index].checkCount += 1 } else { lines[index].count += 1 }
        lines[index].heap.insert(Waiter(order: order, slot: slot, stamp: stampCount))
    }

    mutating func remove(_ slot: Int) {
        guard contains(slot), let index = lines.firstIndex(where: { $0.number == filed[slot].line }) else { return }
        if filed[slot].isCheck { lines[index].checkCount -= 1 } else { lines[index].count -= 1 }
        filed[slot].stamp = 0
        let live = lines[index].count + lines[index].checkCount
        if live == 0 {
            lines.remove(at: index)
        } else if lines[index].heap.count > 2 * live + 64 {
            lines[index].heap.removeAll { filed[$0.slot].stamp != $0.stamp }
        }
    }

    /// Takes the first of a line out of it, for a moment: the slot is then removed, or put back.
    mutating func takeFirst(_ number: UInt64) -> Int? {
        guard let index = lines.firstIndex(where: { $0.number == number }) else { return nil }
        while let waiter = lines[index].heap.popFirst() {
            lookCount += 1
            if filed[waiter.slot].stamp == waiter.stamp { return waiter.slot }
        }
        return nil
    }

    mutating func putBack(_ slot: Int, _ order: UnitOrder) {
        guard contains(slot), let index = lines.firstIndex(where: { $0.number == order.line }) else { return }
        lines[index].heap.insert(Waiter(order: order, slot: slot, stamp: filed[slot].stamp))
    }
}
