// Randomness as a function: the same key always gives the same number, whoever asks, in whatever order.

/// Philox4x32-10. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), §3.4.
///
/// Nothing draws from shared state: a token's random number depends on (run seed, step, prompt, completion index,
/// position) and on nothing else, so any worker that repeats a piece of work repeats its dice.
package enum KeyedRandom {
    /// One block of the generator: a bijection of the counter under the key.
    package static func philox(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var counter = counter
        var key = key
        for round in 0..<10 {
            if round > 0 { key = SIMD2(key.x &+ 0x9E37_79B9, key.y &+ 0xBB67_AE85) }
            let first = UInt64(0xD251_1F53) * UInt64(counter.x)
            let second = UInt64(0xCD9E_8D57) * UInt64(counter.z)
            counter = SIMD4(
                UInt32(truncatingIfNeeded: second >> 32) ^ counter.y ^ key.x, UInt32(truncatingIfNeeded: second),
                UInt32(truncatingIfNeeded: first >> 32) ^ counter.w ^ key.y, UInt32(truncatingIfNeeded: first))
        }
        return counter
    }

    /// What a number is drawn for; keeps the streams of different uses apart.
    package enum Use: UInt8, Sendable {
        case sampling = 1
        case shuffling = 2
        case initialisation = 3
        case generatedTask = 4
        case rewardShuffling = 5
        case jitter = 6
        case rounding = 7
        case spotCheck = 8
        case masterPlacement = 9
    }

    /// 64 random bits for (seed, use, a, b): `a` and `b` name the place, each below 2^56 and 2^64.
    package static func bits(seed: UInt64, use: Use, _ a: UInt64, _ b: UInt64 = 0) -> UInt64 {
        precondition(a < 1 << 56, "KeyedRandom: a = \(a) does not fit 56 bits")
        let tagged = a | UInt64(use.rawValue) << 56
        let block = philox(
            counter: SIMD4(
                UInt32(truncatingIfNeeded: b), UInt32(truncatingIfNeeded: b >> 32),
                UInt32(truncatingIfNeeded: tagged), UInt32(truncatingIfNeeded: tagged >> 32)),
            key: SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
        return UInt64(block.x) | UInt64(block.y) << 32
    }

    /// Uniform in [0, 1), 53 bits.
    package static func uniform(seed: UInt64, use: Use, _ a: UInt64, _ b: UInt64 = 0) -> Double {
        Double(bits(seed: seed, use: use, a, b) >> 11) * 0x1p-53
    }

    /// Uniform in 0..<bound without modulo bias worth naming (error below bound / 2^64).
    package static func integer(below bound: UInt64, seed: UInt64, use: Use, _ a: UInt64, _ b: UInt64 = 0) -> UInt64 {
        precondition(bound > 0, "KeyedRandom: bound must be positive")
        return bits(seed: seed, use: use, a, b).multipliedFullWidth(by: bound).high
    }

    /// The number that decides one token: uniform in [0, 1).
    /// - Parameters:
    ///   - group: names the prompt; its ordinal must be below 2^24, its step below 2^30.
    ///   - completion: index in the group, below 2^20.
    ///   - position: index of the sampled token in its completion, from 0.
    package static func token(seed: UInt64, group: GroupKey, completion: Int, position: Int) -> Double {
        precondition(group.ordinal < 1 << 24 && group.step < 1 << 30 && completion < 1 << 20 && position < 1 << 40,
            "KeyedRandom: key out of range (\(group), \(completion), \(position))")
        let a = UInt64(group.step) | UInt64(group.ordinal) << 30 | UInt64(group.purpose.rawValue & 3) << 54
        let b = UInt64(completion) << 40 | UInt64(position)
        return uniform(seed: seed, use: .sampling, a, b)
    }

    /// 0..<count in an order that depends on the key alone (Fisher–Yates).
    package static func permutation(count: Int, seed: UInt64, use: Use, _ a: UInt64) -> [Int] {
        var order = Array(0..<count)
        guard count > 1 else { return order }
        for index in stride(from: count - 1, to: 0, by: -1) {
            let other = Int(integer(below: UInt64(index + 1), seed: seed, use: use, a, UInt64(index)))
            order.swapAt(index, other)
        }
        return order
    }
}
