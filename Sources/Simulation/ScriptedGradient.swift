// Gradients without a model: hashes of what they are made from, added in the tree that the real ones are added in.

import Rollouts

package enum ScriptedGradient {
    /// - Parameter shardCount: of the whole step; groups are cut into as many runs.
    package static func of(_ groups: [CompletionGroup], shards: ShardRange, shardCount: Int) -> Digest {
        guard let (left, right) = shards.halves else {
            var print = Fingerprint(10)
            absorb(
                groups.enumerated().filter { $0.offset * shardCount / groups.count == shards.first }.map(\.element),
                into: &print)
            return print.digest
        }
        return added(
            of(groups, shards: left, shardCount: shardCount), of(groups, shards: right, shardCount: shardCount))
    }

    /// A node from its parts; nil when one is missing.
    package static func sum(_ shards: ShardRange, of parts: [ShardRange: Digest]) -> Digest? {
        if let part = parts[shards] { return part }
        guard let (left, right) = shards.halves, let first = sum(left, of: parts), let second = sum(right, of: parts)
        else { return nil }
        return added(first, second)
    }

    private static func added(_ left: Digest, _ right: Digest) -> Digest {
        var print = Fingerprint(11)
        print.absorb(left)
        print.absorb(right)
        return print.digest
    }

    static func absorb(_ groups: [CompletionGroup], into print: inout Fingerprint) {
        for group in groups { absorb(group, into: &print) }
    }

    private static func absorb(_ group: CompletionGroup, into print: inout Fingerprint) {
        print.absorb(group.prompt.key.step)
        print.absorb(group.prompt.key.ordinal)
        for token in group.prompt.tokens { print.absorb(Int(token)) }
        for completion in group.completions {
            print.absorb(completion.tokens.count)
            for token in completion.tokens { print.absorb(Int(token)) }
            for logProb in completion.policyLogProbs { print.absorb(UInt64(logProb.bitPattern)) }
            for version in completion.versions { print.absorb(version.rawValue) }
        }
        for verdict in group.verdicts { print.absorb(UInt64(verdict.outcome.rawValue)) }
        for reward in group.rewards { print.absorb(reward.bitPattern) }
    }
}
