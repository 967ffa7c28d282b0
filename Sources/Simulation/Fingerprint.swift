// Hashes for the simulator: fast, the same in every process, and nothing to rely on for security.

import Rollouts

/// Absorbs words and squeezes out 64 or 256 bits (the finaliser of SplitMix64 over a running state).
package struct Fingerprint: Equatable, Sendable {
    private var state: UInt64

    package init(_ seed: UInt64 = 0) { state = Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15) }

    package mutating func absorb(_ word: UInt64) {
        state = Self.mix(state ^ Self.mix(word &+ 0x9E37_79B9_7F4A_7C15)) &+ 0x9E37_79B9_7F4A_7C15
    }
    package mutating func absorb(_ number: Int) { absorb(UInt64(bitPattern: Int64(number))) }
    package mutating func absorb(_ text: String) {
        absorb(text.utf8.count)
        for byte in text.utf8 { absorb(UInt64(byte)) }
    }
    package mutating func absorb(_ digest: Digest) {
        for byte in digest.bytes { absorb(UInt64(byte)) }
    }

    package var word: UInt64 { Self.mix(state) }

    package var digest: Digest {
        var bytes: [UInt8] = []
        for lane in 0..<4 as Range<UInt64> {
            let word = Self.mix(state &+ lane &* 0xD1B5_4A32_D192_ED03)
            for shift in stride(from: 0, to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        guard let digest = Digest(bytes: bytes) else { preconditionFailure("a digest has 32 bytes") }
        return digest
    }

    private static func mix(_ word: UInt64) -> UInt64 {
        var word = word
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}

/// A stream of dice for the simulator itself (SplitMix64). Everything random in a simulation comes from one of these.
package struct SimulationDice: Equatable, Sendable {
    private var state: UInt64
    package init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0xD1B5_4A32_D192_ED03 }

    package mutating func word() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
    /// Uniform in [0, 1).
    package mutating func share() -> Double { Double(word() >> 11) * 0x1p-53 }
    package mutating func chance(_ probability: Double) -> Bool { share() < probability }
    package mutating func integer(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(word().multipliedFullWidth(by: UInt64(range.count)).high)
    }
    package mutating func duration(_ range: ClosedRange<Int>) -> Duration { .microseconds(integer(range)) }
    package mutating func element<Element>(of elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[integer(0...elements.count - 1)]
    }
}
