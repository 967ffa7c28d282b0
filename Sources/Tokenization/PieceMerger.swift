// Which tokens does one piece become? Joins neighbours, earliest merge first, leftmost among equals.

/// Scratch space for byte-pair merging: O(n log n) in the length of a piece, whatever its content.
struct PieceMerger {
    /// Up to this many symbols the earliest pair is found by looking at all of them, above by a heap.
    private let scanLimit: Int
    private var ids: [Int32] = []
    private var previous: [Int32] = []
    private var next: [Int32] = []
    /// What `MergeTable.joined` says of each symbol and the one after it.
    private var pairs: [UInt64] = []
    /// (rank, position) as one number each; entries whose pair has changed since are passed over.
    private var heap: [UInt64] = []

    init(scanLimit: Int = 32) {
        self.scanLimit = scanLimit
    }

    /// Appends the piece's tokens to `output`.
    /// - Parameter symbols: the piece's bytes as ids; at most 2³¹ of them.
    mutating func merge(_ symbols: [Int32], _ table: MergeTable, into output: inout [Int32]) {
        guard symbols.count > 1 else {
            output += symbols
            return
        }
        load(symbols, table)
        let usesHeap = symbols.count > scanLimit
        if usesHeap { fillHeap() }
        while let position = usesHeap ? popped() : scanned() { join(position, table, usesHeap) }
        var position = 0
        while position >= 0 {
            output.append(ids[position])
            position = Int(next[position])
        }
    }

    private mutating func load(_ symbols: [Int32], _ table: MergeTable) {
        let count = symbols.count
        ids.removeAll(keepingCapacity: true)
        ids.append(contentsOf: symbols)
        previous.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        pairs.removeAll(keepingCapacity: true)
        for position in 0..<count {
            previous.append(Int32(position) - 1)
            next.append(position + 1 < count ? Int32(position) + 1 : -1)
            pairs.append(
                position + 1 < count ? table.joined(symbols[position], symbols[position + 1]) : MergeTable.absent)
        }
    }

    /// The left symbol takes the joined id; the right one leaves the list.
    private mutating func join(_ position: Int, _ table: MergeTable, _ usesHeap: Bool) {
        let right = Int(next[position])
        ids[position] = Int32(truncatingIfNeeded: pairs[position])
        pairs[right] = MergeTable.absent
        let after = next[right]
        next[position] = after
        if after >= 0 { previous[Int(after)] = Int32(position) }
        refresh(position, table, usesHeap)
        if previous[position] >= 0 { refresh(Int(previous[position]), table, usesHeap) }
    }

    private mutating func refresh(_ position: Int, _ table: MergeTable, _ usesHeap: Bool) {
        let right = next[position]
        pairs[position] = right < 0 ? MergeTable.absent : table.joined(ids[position], ids[Int(right)])
        if usesHeap, pairs[position] != MergeTable.absent { push(PieceMerger.entry(pairs[position], position)) }
    }

    private func scanned() -> Int? {
        var best = MergeTable.absent
        var bestPosition = -1
        var position = 0
        while position >= 0 {
            if pairs[position] >> 32 < best >> 32 {
                best = pairs[position]
                bestPosition = position
            }
            position = Int(next[position])
        }
        return bestPosition < 0 ? nil : bestPosition
    }

    private static func entry(_ pair: UInt64, _ position: Int) -> UInt64 {
        pair & 0xFFFF_FFFF_0000_0000 | UInt64(position)
    }

    private mutating func fillHeap() {
        heap.removeAll(keepingCapacity: true)
        for position in 0..<pairs.count where pairs[position] != MergeTable.absent {
            push(PieceMerger.entry(pairs[position], position))
        }
    }

    /// - Returns: the position of the earliest pair that is still there.
    private mutating func popped() -> Int? {
        while let entry = heap.first {
            removeFirst()
            let position = Int(entry & 0xFFFF_FFFF)
            if pairs[position] != MergeTable.absent, pairs[position] >> 32 == entry >> 32 { return position }
        }
        return nil
    }

    private mutating func push(_ entry: UInt64) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent] <= heap[child] { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func removeFirst() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
