// Which groups of a step make up which shard of its gradient.

/// Cuts a step's groups into shards of about the same cost, by the data alone: whole groups in prompt order, each in
/// the shard in which the middle of its cost falls.
/// - Parameters:
///   - costs: tokens to compute per group, in prompt order.
///   - count: how many shards, at least 1.
/// - Returns: one range of groups per shard, consecutive; empty ones where there are fewer groups than shards.
package func gradientShards(ofCosts costs: [Int], count: Int) -> [Range<Int>] {
    precondition(count > 0 && costs.allSatisfy { $0 >= 0 }, "\(count) shards of groups that cost \(costs)")
    let total = costs.reduce(0, +)
    var ends = [Int](repeating: 0, count: count)
    var before = 0
    var shard = 0
    for (group, cost) in costs.enumerated() {
        // Without any cost all groups are in the first shard.
        if total > 0 { shard = max(shard, min(count - 1, (2 * before + cost) * count / (2 * total))) }
        ends[shard] = group + 1
        before += cost
    }
    var start = 0
    return ends.map { end in
        let range = start..<max(start, end)
        start = range.upperBound
        return range
    }
}
