// Sets of places in an array, in their order.

/// Small non-negative numbers in ascending order: one bit each, and one bit for each word that is not empty.
/// Putting in and taking out: O(1). The next one: O(n / 4096).
struct PlaceSet: Equatable, Sendable {
    private var words: [UInt64] = []
    private var summary: [UInt64] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    func contains(_ place: Int) -> Bool {
        place >> 6 < words.count && words[place >> 6] & (1 << UInt64(place & 63)) != 0
    }

    mutating func set(_ place: Int, _ isIn: Bool) {
        guard contains(place) != isIn else { return }
        let word = place >> 6
        if isIn {
            while words.count <= word { words.append(0) }
            while summary.count <= word >> 6 { summary.append(0) }
            words[word] |= 1 << UInt64(place & 63)
            summary[word >> 6] |= 1 << UInt64(word & 63)
            count += 1
        } else {
            words[word] &= ~(1 << UInt64(place & 63))
            if words[word] == 0 { summary[word >> 6] &= ~(1 << UInt64(word & 63)) }
            count -= 1
        }
    }

    /// The place is gone: those above it are one less. O(n / 64).
    mutating func close(_ place: Int) {
        set(place, false)
        guard place >> 6 < words.count else { return }
        for word in place >> 6..<words.count {
            let below = word == place >> 6 ? (1 << UInt64(place & 63)) - 1 : 0 as UInt64
            let carried = word + 1 < words.count ? words[word + 1] & 1 : 0
            words[word] = words[word] & below | (words[word] & ~below) >> 1 & ~below | carried << 63
            let bit: UInt64 = 1 << UInt64(word & 63)
            if words[word] == 0 { summary[word >> 6] &= ~bit } else { summary[word >> 6] |= bit }
        }
    }

    /// The smallest one that is not below this.
    func next(from place: Int) -> Int? {
        var word = place >> 6
        guard count > 0, word < words.count else { return nil }
        let rest = words[word] & (~0 << UInt64(place & 63))
        if rest != 0 { return word << 6 | rest.trailingZeroBitCount }
        word += 1
        var block = word >> 6
        guard block < summary.count else { return nil }
        var blocks = summary[block] & (~0 << UInt64(word & 63))
        while blocks == 0 {
            block += 1
            guard block < summary.count else { return nil }
            blocks = summary[block]
        }
        word = block << 6 | blocks.trailingZeroBitCount
        return word << 6 | words[word].trailingZeroBitCount
    }
}

/// Ascending.
extension PlaceSet: Sequence {
    struct Iterator: IteratorProtocol {
        let places: PlaceSet
        var start = 0
        mutating func next() -> Int? {
            guard let place = places.next(from: start) else { return nil }
            start = place + 1
            return place
        }
    }
    func makeIterator() -> Iterator { Iterator(places: self) }
    var underestimatedCount: Int { count }
}

/// A weight per place, and the sum of those before a place: a Fenwick tree. Both O(log n), growing amortised.
struct PlaceSums: Equatable, Sendable {
    private var weights: [Int] = []
    private var tree: [Int] = [0]
    private(set) var total = 0

    mutating func set(_ place: Int, to weight: Int) {
        if place >= weights.count {
            if weight == 0 { return }
            grow(to: max(place + 1, 2 * weights.count))
        }
        let change = weight - weights[place]
        guard change != 0 else { return }
        weights[place] = weight
        total += change
        var node = place + 1
        while node < tree.count {
            tree[node] += change
            node += node & -node
        }
    }

    subscript(place: Int) -> Int { place < weights.count ? weights[place] : 0 }

    func sum(before place: Int) -> Int {
        var sum = 0
        var node = min(place, weights.count)
        while node > 0 {
            sum += tree[node]
            node -= node & -node
        }
        return sum
    }

    private mutating func grow(to count: Int) {
        weights += Array(repeating: 0, count: count - weights.count)
        tree = [0] + weights
        for node in tree.indices.dropFirst() {
            let parent = node + (node & -node)
            if parent < tree.count { tree[parent] += tree[node] }
        }
    }
}
