// How large things on the wire may be.

/// Checked before memory is taken. A limit is wide enough for the largest honest message and no wider.
package enum WireLimits {
    /// Payload of any message: a rollout result or training group of two million tokens, or a pre-training batch.
    package static let maximumPayloadBytes = 64 << 20
    /// Payload of a peer that was not welcomed yet: a hello is below 1 KiB.
    package static let payloadBytesBeforeAdmission = 64 << 10
    /// Payload of the messages that carry neither tokens nor completions' texts (heartbeats, verdicts, policies).
    package static let controlPayloadBytes = 1 << 20
    /// Payload of a frame of several messages; a larger message has one of its own.
    package static let bundleBytes = 256 << 10
    package static let messagesPerFrame = 1024
    /// The largest frame: what the transport's own limit must let pass.
    package static let frameBytes = Envelope.headerBytes + maximumPayloadBytes
    /// The resolved recipe inside `welcome`.
    package static let optionsBytes = 256 << 10
    /// Names: worker, host, kernel, run, addresses.
    package static let nameBytes = 4096
    /// Memory that decoding one payload may take: this many times its size and `decodingBaseBytes` more, because an
    /// element of two bytes becomes a structure of a hundred; never more than `decodingBytes`.
    package static let decodingFactor = 64
    package static let decodingBaseBytes = 64 << 10
    package static let decodingBytes = 2 * maximumPayloadBytes

    static func decodingBytes(payload: Int) -> Int {
        let (product, overflow) = payload.multipliedReportingOverflow(by: decodingFactor)
        return overflow ? decodingBytes : min(product + decodingBaseBytes, decodingBytes)
    }

    // Ranges of numbers that a peer may name.
    /// What the random key has room for (`KeyedRandom.token`).
    static let stepRange = 0...((1 << 30) - 1)
    static let ordinalRange = 0...((1 << 24) - 1)
    static let completionIndexRange = 0...((1 << 20) - 1)
    static let groupSizeRange = 1...(1 << 20)
    static let shardCountRange = 1...1024
    static let slotRange = 0...65_536
    static let tokenLimit = UInt32(Int32.max)
}
