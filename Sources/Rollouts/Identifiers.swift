// The names of things: policy versions, groups, completions, leases, peers.

/// Which weights. 0 is the base model; every optimizer update makes the next one. Versions only grow.
package struct PolicyVersion: RawRepresentable, Hashable, Comparable, Sendable, Codable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    package static let base = PolicyVersion(0)
    package var next: PolicyVersion { PolicyVersion(rawValue + 1) }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Why completions are sampled; part of the random key, so evaluation never shares randomness with training.
package enum Purpose: UInt8, Sendable, Codable, CaseIterable {
    case training = 1
    case evaluation = 2
    case conversation = 3
}

/// Names one group of completions of one prompt: results are ordered by this name, never by arrival.
package struct GroupKey: Hashable, Comparable, Sendable, Codable {
    package var purpose: Purpose
    /// The optimizer step the group is for, from 1. For an evaluation: the step after which it happens (0 = base
    /// model).
    package var step: Int
    /// Position among the prompts drawn for this step, from 0; refills continue the count.
    package var ordinal: Int

    package init(purpose: Purpose, step: Int, ordinal: Int) {
        self.purpose = purpose
        self.step = step
        self.ordinal = ordinal
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.step, left.purpose.rawValue, left.ordinal) < (right.step, right.purpose.rawValue, right.ordinal)
    }
}

/// Names one lease: one assignment of one unit of work to one worker. Never reused within a run.
package struct LeaseIdentifier: RawRepresentable, Hashable, Comparable, Sendable, Codable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A connection as the transport names it. Assigned by the coordinator's socket, never by the worker.
package struct PeerIdentifier: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package var bytes: [UInt8]
    package init(bytes: [UInt8]) { self.bytes = bytes }
    package static func < (left: Self, right: Self) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }
    package var description: String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    /// Looked up several times a message: in one go instead of byte by byte.
    package func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }
}

/// A BLAKE2b-256 hash.
package struct Digest: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Exactly 32 bytes.
    package let bytes: [UInt8]

    package init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    package init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = Digest.nibble(digits[index]), let low = Digest.nibble(digits[index + 1]) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let hex = try container.decode(String.self)
        guard let digest = Digest(hex: hex) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected 64 hexadecimal digits")
        }
        self = digest
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    package static func < (left: Self, right: Self) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }
    /// 64 lower-case hexadecimal digits.
    package var description: String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
