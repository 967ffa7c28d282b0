// How a step's gradient is cut into shards, and what is said about a part of it.

/// Consecutive shards of a step's gradient: a node of the binary tree in which they are added, ((0+1)+(2+3))+….
package struct ShardRange: Hashable, Sendable, Codable {
    /// The first shard, a multiple of `count`.
    package let first: Int
    /// How many: a power of two.
    package let count: Int

    /// nil for what is no node of the tree.
    package init?(first: Int, count: Int) {
        guard count > 0, first >= 0, count & (count - 1) == 0, first.isMultiple(of: count) else { return nil }
        self.first = first
        self.count = count
    }

    private init(node first: Int, _ count: Int) {
        self.first = first
        self.count = count
    }

    /// The whole tree over this many shards.
    /// - Precondition: a power of two.
    package static func whole(_ count: Int) -> ShardRange {
        precondition(count > 0 && count & (count - 1) == 0, "\(count) shards")
        return ShardRange(node: 0, count)
    }

    /// The two nodes whose sum this one is; nil for a single shard.
    package var halves: (ShardRange, ShardRange)? {
        guard count > 1 else { return nil }
        return (ShardRange(node: first, count / 2), ShardRange(node: first + count / 2, count / 2))
    }

    package var shards: Range<Int> { first..<first + count }

    /// Nodes that together are the tree over `shardCount` shards: the largest is halved, the first of several, until
    /// there are `count` of them or every one is a single shard.
    package static func parts(of shardCount: Int, count: Int) -> [ShardRange] {
        var parts = [whole(shardCount)]
        while parts.count < count, let largest = parts.map(\.count).max(),
            let index = parts.firstIndex(where: { $0.count == largest }), let halves = parts[index].halves
        {
            parts.replaceSubrange(index...index, with: [halves.0, halves.1])
        }
        return parts
    }
}

/// Compute a part of a step's gradient. The step's groups, all of them, were sent just before, in key order, under the
/// same lease: the shards are cut by the data, so everyone cuts them alike.
package struct GradientAssignment: Equatable, Sendable, Codable {
    package var step: Int
    /// The weights held must be of this version.
    package var base: PolicyVersion
    /// How many `trainingGroup` messages belong to this lease.
    package var groupCount: Int
    package var shards: ShardRange
    /// For the learner that will make the step: the sum stays in its memory. Without it, the sum becomes a blob.
    package var keep: Bool
    /// Parts of one attempt belong together; never used again within a run.
    package var attempt: UInt64
    /// The frozen base policy, where the recipe has a KL term.
    package var reference: PolicyManifest?

    package init(
        step: Int, base: PolicyVersion, groupCount: Int, shards: ShardRange, keep: Bool, attempt: UInt64,
        reference: PolicyManifest? = nil
    ) {
        self.step = step
        self.base = base
        self.groupCount = groupCount
        self.shards = shards
        self.keep = keep
        self.attempt = attempt
        self.reference = reference
    }
}

/// The sum of some shards' gradients, and of what was measured beside.
package struct GradientPart: Equatable, Sendable, Codable {
    package var shards: ShardRange
    /// nil: in the memory of the learner that makes the step.
    package var blob: BlobReference?
    /// Named sums, for the learner that adds the parts.
    package var sums: [StepMetrics.Value]

    package init(shards: ShardRange, blob: BlobReference?, sums: [StepMetrics.Value]) {
        self.shards = shards
        self.blob = blob
        self.sums = sums
    }
}
