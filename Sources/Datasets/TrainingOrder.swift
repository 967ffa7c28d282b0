// Which source, and which of its rows, each position of training takes.

import Rollouts

/// An endless order over several sources: a pure function of (seed, position).
///
/// Sources are drawn in proportion to their weights and spread evenly: among any number of first positions, each has
/// its share up to one row for every source before it. Inside a source, every row comes once an epoch, each epoch in a
/// new permutation.
struct TrainingOrder: Sendable {
    /// Positions are below this.
    static let positionLimit = 1 << 32

    private struct Source: Sendable {
        /// Place in the list of sources; names its permutations.
        var place: Int
        var rowCount: Int
        /// Chance, in 2^-32, of taking a position that the sources before it left; 2^32 for the last.
        var share: UInt64
        /// Where in its rhythm it starts, in 2^-32.
        var phase: UInt64
    }
    private let sources: [Source]
    private let seed: UInt64

    /// - Parameters:
    ///   - rowCounts: training rows of each source; at least one where the weight is not 0.
    ///   - weights: finite, not negative, not all 0.
    init(rowCounts: [Int], weights: [Double], seed: UInt64) {
        precondition(rowCounts.count == weights.count && weights.contains { $0 > 0 }, "weights \(weights)")
        self.seed = seed
        let drawn = weights.indices.filter { weights[$0] > 0 }
        sources = drawn.enumerated().map { level, place in
            precondition(rowCounts[place] > 0, "source \(place) has no rows")
            let rest = drawn[level...].reduce(0) { $0 + weights[$1] }
            // However small a weight is, its source keeps a chance.
            let share = min(max((weights[place] / rest * 0x1p32).rounded(), 1), 0x1p32 - 1)
            return Source(
                place: place, rowCount: rowCounts[place],
                share: level == drawn.count - 1 ? 1 << 32 : UInt64(share),
                phase: KeyedRandom.bits(seed: seed, use: .shuffling, UInt64(place)) >> 32)
        }
    }

    /// - Returns: the place of the source in the recipe's list and the place of the row among its training rows.
    subscript(position: Int) -> (source: Int, row: Int) {
        precondition(position >= 0 && position < Self.positionLimit, "position \(position) is out of range")
        var left = UInt64(position)
        for source in sources {
            // The source has taken ⌊left · share + phase⌋ of the positions before this one, and takes this one if that
            // number grows here.
            let taken = count(source, left)
            if count(source, left + 1) > taken { return (source.place, row(source, taken)) }
            left -= taken
        }
        preconditionFailure("the last source takes every position that is left")
    }

    private func count(_ source: Source, _ positions: UInt64) -> UInt64 {
        let (high, low) = positions.multipliedFullWidth(by: source.share)
        let (sum, carry) = low.addingReportingOverflow(source.phase)
        return (high + (carry ? 1 : 0)) << 32 | sum >> 32
    }

    private func row(_ source: Source, _ drawn: UInt64) -> Int {
        let (epoch, place) = drawn.quotientAndRemainder(dividingBy: UInt64(source.rowCount))
        // Epochs are below 2^32; the place of the source stands above them, and 1 keeps clear of the phases' keys.
        let key = UInt64(source.place + 1) << 32 | epoch
        let permutation = KeyedPermutation(count: source.rowCount, seed: seed, use: .shuffling, key: key)
        return permutation[Int(place)]
    }
}
