// How a step's groups are cut into shards.

import PolicyOptimization
import Rollouts
import Testing

@Suite struct GradientShardTests {
    @Test func `equal groups are cut evenly, in order`() {
        #expect(gradientShards(ofCosts: [5, 5, 5, 5, 5, 5, 5, 5], count: 4) == [0..<2, 2..<4, 4..<6, 6..<8])
    }

    @Test func `a group is in the shard in which its middle falls`() {
        // Total 20, shards of 5: middles at 5, 10.5, 11.5, 16.
        #expect(gradientShards(ofCosts: [10, 1, 1, 8], count: 4) == [0..<0, 0..<1, 1..<3, 3..<4])
    }

    @Test func `groups that cost nothing stay in their place`() {
        #expect(gradientShards(ofCosts: [0, 0, 4, 0, 4, 0], count: 2) == [0..<3, 3..<6])
    }

    @Test func `with fewer groups than shards some shards are empty, and none is lost`() {
        let shards = gradientShards(ofCosts: [3, 3], count: 8)
        #expect(shards.count == 8 && shards.flatMap { $0 } == [0, 1])
        #expect(gradientShards(ofCosts: [], count: 2) == [0..<0, 0..<0])
        #expect(gradientShards(ofCosts: [0, 0], count: 2).flatMap { $0 } == [0, 1])
    }

    @Test func `parts are nodes of the tree: the first of the largest is halved`() {
        func parts(_ count: Int) -> [Range<Int>] { ShardRange.parts(of: 8, count: count).map(\.shards) }
        #expect(parts(1) == [0..<8])
        #expect(parts(2) == [0..<4, 4..<8])
        #expect(parts(3) == [0..<2, 2..<4, 4..<8])
        #expect(parts(4) == [0..<2, 2..<4, 4..<6, 6..<8])
        #expect(parts(20).count == 8)
        #expect(ShardRange(first: 2, count: 4) == nil && ShardRange(first: 0, count: 3) == nil)
        #expect(ShardRange(first: 4, count: 4)?.halves?.1 == ShardRange(first: 6, count: 2))
    }
}
