// Which row comes next when every row comes once an epoch, in an order that needs no list.

import Rollouts

/// A permutation of 0..<count as a function: a Feistel network over the next even power of two, walked until it lands
/// inside. Source: Black and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA 2002), §3 and §4.
///
/// Unlike a shuffled list it costs the same for any position, so a training run resumes from its position alone.
struct KeyedPermutation {
    private static let rounds: UInt64 = 6

    let count: Int
    private let halfBits: UInt64
    private let seed: UInt64
    private let use: KeyedRandom.Use
    /// Below 2^56.
    private let key: UInt64

    init(count: Int, seed: UInt64, use: KeyedRandom.Use, key: UInt64) {
        precondition(count > 0 && count < 1 << 48, "permutation of \(count) elements")
        self.count = count
        self.seed = seed
        self.use = use
        self.key = key
        var bits: UInt64 = 1
        while 1 << (2 * bits) < UInt64(count) { bits += 1 }
        halfBits = bits
    }

    subscript(position: Int) -> Int {
        precondition(position >= 0 && position < count, "position \(position) of \(count)")
        if count == 1 { return 0 }
        var value = UInt64(position)
        // The network's domain is less than four times as large (or 4), so this takes a few turns.
        repeat { value = network(value) } while value >= UInt64(count)
        return Int(value)
    }

    private func network(_ value: UInt64) -> UInt64 {
        let mask = (1 as UInt64) << halfBits - 1
        var left = value >> halfBits
        var right = value & mask
        for round in 0..<Self.rounds {
            let mixed = KeyedRandom.bits(seed: seed, use: use, key, round << 32 | right) & mask
            (left, right) = (right, left ^ mixed)
        }
        return left << halfBits | right
    }
}
