// How full slots can be when pieces of work of unknown lengths go through them in order.

/// Share of slots that are busy until the last piece ends, when each piece takes the slot that falls free first. All
/// are busy while one waits; how long the last ones go on alone is up to their lengths.
public func scheduledShare(of lengths: [Int], slots: Int) -> Double {
    precondition(slots > 0, "scheduledShare: \(slots) slots")
    var ends = [Int](repeating: 0, count: slots)
    for length in lengths {
        let first = ends.indices.min { ends[$0] < ends[$1] }!
        ends[first] += length
    }
    let last = ends.max()!
    return last == 0 ? 1 : Double(lengths.reduce(0, +)) / Double(slots * last)
}
