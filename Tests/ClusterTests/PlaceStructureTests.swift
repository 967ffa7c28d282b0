// Sets, sums, deadlines and lines against the plain arrays that they stand for.

import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct PlaceStructureTests {
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `a set of places is a sorted set`(_ seed: UInt64) {
        var dice = SimulationDice(seed: seed)
        var set = PlaceSet()
        var plain: [Int] = []
        let limit = dice.integer(1...9000)
        for _ in 0..<400 {
            let place = dice.integer(0...limit)
            if dice.chance(0.1) {
                set.close(place)
                plain = plain.filter { $0 != place }.map { $0 > place ? $0 - 1 : $0 }
            } else {
                let isIn = dice.chance(0.7)
                set.set(place, isIn)
                plain = plain.filter { $0 != place } + (isIn ? [place] : [])
            }
            let start = dice.integer(0...limit + 200)
            #expect(set.next(from: start) == plain.filter { $0 >= start }.min())
            #expect(set.contains(start) == plain.contains(start))
        }
        #expect(Array(set) == plain.sorted())
        #expect(set.count == plain.count)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `sums are those of the weights before`(_ seed: UInt64) {
        var dice = SimulationDice(seed: seed)
        var sums = PlaceSums()
        var plain = Array(repeating: 0, count: 300)
        for _ in 0..<300 {
            let place = dice.integer(0...299)
            plain[place] = dice.integer(0...4)
            sums.set(place, to: plain[place])
            let end = dice.integer(0...299)
            #expect(sums.sum(before: end) == plain[..<end].reduce(0, +))
            #expect(sums[end] == plain[end])
        }
        #expect(sums.total == plain.reduce(0, +))
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `deadlines are the times last set`(_ seed: UInt64) {
        var dice = SimulationDice(seed: seed)
        var queue = DeadlineQueue()
        var plain: [MonotonicTime?] = Array(repeating: nil, count: 60)
        for _ in 0..<400 {
            let number = dice.integer(0...plain.count - 1)
            if plain.count > 30, dice.chance(0.05) {
                queue.close(number)
                plain.remove(at: number)
            } else {
                plain[number] = dice.chance(0.3) ? nil : MonotonicTime(nanoseconds: Int64(dice.integer(0...50)))
                queue.set(number, to: plain[number])
            }
            let now = MonotonicTime(nanoseconds: Int64(dice.integer(0...50)))
            let times = plain.compactMap(\.self)
            #expect(queue.first == times.min())
            #expect(queue.first(after: now) == times.filter { $0 > now }.min())
            #expect(queue.due(at: now) == plain.indices.filter { plain[$0].map { $0 <= now } ?? false })
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `lines give out in order what still waits`(_ seed: UInt64) {
        var dice = SimulationDice(seed: seed)
        var lines = WaitingLines()
        var plain: [(slot: Int, order: UnitOrder)] = []
        for round in 0..<400 {
            let slot = dice.integer(0...40)
            if plain.contains(where: { $0.slot == slot }) {
                lines.remove(slot)
                plain.removeAll { $0.slot == slot }
            } else {
                var order = UnitOrder(
                    line: UInt64(dice.integer(0...2)), major: dice.integer(0...1), minor: dice.integer(0...3), ordinal: 0)
                order.insertion = UInt64(round)
                lines.add(slot, order, isCheck: dice.chance(0.2))
                plain.append((slot, order))
            }
            let line = UInt64(dice.integer(0...2))
            let first = plain.filter { $0.order.line == line }.min { $0.order < $1.order }
            let found = lines.takeFirst(line)
            #expect(found == first?.slot)
            if let first { lines.putBack(first.slot, first.order) }
            #expect(lines.line(after: nil) == plain.map(\.order.line).min())
        }
        #expect(lines.counts.reduce(0) { $0 + $1.count + $1.checkCount } == plain.count)
    }
}
