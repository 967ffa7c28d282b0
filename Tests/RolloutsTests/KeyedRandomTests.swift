// Randomness as a function: the published vectors, independence of the places, and the hexadecimal form of hashes.
import Foundation
import Rollouts
import Testing

/// Known answers of philox4x32-10 from the Random123 distribution (kat_vectors).
@Test(arguments: [
    ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    (
        [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff], [0xffff_ffff, 0xffff_ffff],
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
    ),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
    ),
] as [([UInt32], [UInt32], [UInt32])])
func `philox gives the published answers`(counter: [UInt32], key: [UInt32], answer: [UInt32]) {
    let block = KeyedRandom.philox(
        counter: SIMD4(counter[0], counter[1], counter[2], counter[3]), key: SIMD2(key[0], key[1]))
    #expect([block.x, block.y, block.z, block.w] == answer)
}

@Test func `bits are the first half of the block named by the seed, the use and the place`() {
    // seed → key; b → counter words 0 and 1; a and the use → words 2 and 3.
    let block = KeyedRandom.philox(
        counter: SIMD4(0x1111_2222, 0x3333_4444, 0x5555_6666, 0x0277_8888), key: SIMD2(0x9999_aaaa, 0xbbbb_cccc))
    let bits = KeyedRandom.bits(
        seed: 0xbbbb_cccc_9999_aaaa, use: .shuffling, 0x0077_8888_5555_6666, 0x3333_4444_1111_2222)
    #expect(bits == UInt64(block.x) | UInt64(block.y) << 32)
}

@Test func `every part of a token's key changes its number, and the same key repeats it`() {
    let group = GroupKey(purpose: .training, step: 3, ordinal: 7)
    func number(_ seed: UInt64, _ group: GroupKey, _ completion: Int, _ position: Int) -> Double {
        KeyedRandom.token(seed: seed, group: group, completion: completion, position: position)
    }
    let numbers = [
        number(1, group, 2, 5),
        number(2, group, 2, 5),
        number(1, GroupKey(purpose: .evaluation, step: 3, ordinal: 7), 2, 5),
        number(1, GroupKey(purpose: .conversation, step: 3, ordinal: 7), 2, 5),
        number(1, GroupKey(purpose: .training, step: 4, ordinal: 7), 2, 5),
        number(1, GroupKey(purpose: .training, step: 3, ordinal: 8), 2, 5),
        number(1, group, 3, 5),
        number(1, group, 2, 6),
        number(1, group, 5, 2),
    ]
    #expect(Set(numbers).count == numbers.count)
    #expect(numbers.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(numbers[0] == number(1, group, 2, 5))
}

@Test func `the largest allowed key parts do not run into each other`() {
    func number(_ step: Int, _ ordinal: Int, _ completion: Int, _ position: Int) -> Double {
        KeyedRandom.token(
            seed: .max, group: GroupKey(purpose: .conversation, step: step, ordinal: ordinal), completion: completion,
            position: position)
    }
    let step = (1 << 30) - 1, ordinal = (1 << 24) - 1, completion = (1 << 20) - 1, position = (1 << 40) - 1
    let numbers = [
        number(step, ordinal, completion, position), number(step - 1, ordinal, completion, position),
        number(step, ordinal - 1, completion, position), number(step, ordinal, completion - 1, position),
        number(step, ordinal, completion, position - 1), number(0, ordinal, completion, position),
        number(step, 0, completion, position), number(step, ordinal, 0, position), number(step, ordinal, completion, 0),
    ]
    #expect(Set(numbers).count == numbers.count)
}

/// Mean of 20,000 numbers and their largest deviation from uniform (Kolmogorov–Smirnov). A right generator exceeds
/// either limit with a chance below 1e-6; the seed is fixed, so the outcome is too.
@Test func `token numbers are uniform`() {
    let group = GroupKey(purpose: .training, step: 1, ordinal: 0)
    let count = 20_000
    let numbers = (0..<count).map {
        KeyedRandom.token(seed: 42, group: group, completion: $0 % 100, position: $0 / 100)
    }.sorted()
    let mean = numbers.reduce(0, +) / Double(count)
    #expect(abs(mean - 0.5) < 5 / (12 * Double(count)).squareRoot())
    let deviation = numbers.enumerated().reduce(0.0) { worst, entry in
        let (index, number) = entry
        return max(worst, number - Double(index) / Double(count), Double(index + 1) / Double(count) - number)
    }
    #expect(deviation < 2.7 / Double(count).squareRoot())
}

@Test func `integers stay below their bound and reach every value`() {
    let drawn = (0..<600).map { KeyedRandom.integer(below: 6, seed: 9, use: .generatedTask, UInt64($0)) }
    #expect(drawn.allSatisfy { $0 < 6 })
    #expect(Set(drawn).count == 6)
    #expect(KeyedRandom.integer(below: 1, seed: 9, use: .generatedTask, 0) == 0)
}

@Test(arguments: [0, 1, 2, 3, 17, 1000]) func `a permutation contains every index once`(count: Int) {
    let order = KeyedRandom.permutation(count: count, seed: 5, use: .shuffling, 3)
    #expect(order.sorted() == Array(0..<count))
    #expect(order == KeyedRandom.permutation(count: count, seed: 5, use: .shuffling, 3))
    if count >= 17 {
        #expect(order != KeyedRandom.permutation(count: count, seed: 6, use: .shuffling, 3))
        #expect(order != KeyedRandom.permutation(count: count, seed: 5, use: .shuffling, 4))
        #expect(order != Array(0..<count))
    }
}

/// 6,000 permutations of three: each of the six orders is expected 1,000 times; χ² with 5 degrees of freedom exceeds
/// 36 with a chance of 1e-6.
@Test func `all orders of a permutation are equally likely`() {
    var counts: [[Int]: Int] = [:]
    for place in 0..<6_000 {
        counts[KeyedRandom.permutation(count: 3, seed: 1, use: .shuffling, UInt64(place)), default: 0] += 1
    }
    #expect(counts.count == 6)
    let statistic = counts.values.reduce(0.0) { $0 + (Double($1) - 1_000) * (Double($1) - 1_000) / 1_000 }
    #expect(statistic < 36)
}

@Test func `a digest survives its hexadecimal form`() throws {
    let bytes = (0..<32).map { UInt8($0 * 8 + 1) }
    let digest = try #require(Digest(bytes: bytes))
    #expect(digest.description == "0109111921293139414951596169717981899199a1a9b1b9c1c9d1d9e1e9f1f9")
    #expect(Digest(hex: digest.description) == digest)
    #expect(Digest(hex: digest.description.uppercased()) == digest)
    let encoded = try JSONEncoder().encode([digest])
    #expect(String(decoding: encoded, as: UTF8.self) == "[\"\(digest)\"]")
    #expect(try JSONDecoder().decode([Digest].self, from: encoded) == [digest])
}

@Test func `what is not 32 bytes of hexadecimal is no digest`() {
    let good = String(repeating: "ab", count: 32)
    #expect(Digest(bytes: [UInt8](repeating: 0, count: 31)) == nil)
    #expect(Digest(bytes: [UInt8](repeating: 0, count: 33)) == nil)
    #expect(Digest(hex: good) != nil)
    #expect(Digest(hex: String(good.dropLast())) == nil)
    #expect(Digest(hex: good + "ab") == nil)
    #expect(Digest(hex: "g" + good.dropFirst()) == nil)
    #expect(throws: DecodingError.self) { try JSONDecoder().decode([Digest].self, from: Data("[\"abc\"]".utf8)) }
}
