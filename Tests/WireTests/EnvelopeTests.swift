// The envelope's bytes, and what does not open.

import CChecksum
import Cluster
import Rollouts
import Testing

@testable import Wire

private let header = Envelope.Header(
    version: ProtocolVersion(major: 1, minor: 0), run: 0x1122_3344_5566_7788, epoch: 0xA0A1, sequence: 3,
    acknowledged: 2)

private func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

private func refusal(_ frame: [UInt8], limit: Int = WireLimits.maximumPayloadBytes) -> WireError? {
    do throws(WireError) {
        _ = try Envelope.open(frame, payloadLimitBytes: limit)
        return nil
    } catch {
        return error
    }
}

/// Changes bytes and writes the checksum that belongs to them.
private func resealed(_ frame: [UInt8], _ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var frame = frame
    change(&frame)
    let checksum = rookery_crc32c(rookery_crc32c(0, Array(frame[..<60]), 60), Array(frame[64...]), frame.count - 64)
    for index in 0..<4 { frame[60 + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * index)) }
    return frame
}

@Test func `the checksum is that of RFC 3720, with and without the processor's instruction`() {
    // RFC 3720 appendix B.4.
    let vectors: [([UInt8], UInt32)] = [
        ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
        ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
        ([UInt8](0..<32), 0x46DD_794E),
        ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
        (Array("123456789".utf8), 0xE306_9283),
        ([], 0),
    ]
    for (bytes, expected) in vectors {
        #expect(rookery_crc32c(0, bytes, bytes.count) == expected)
        #expect(rookery_crc32c_table(0, bytes, bytes.count) == expected)
    }
    var random = SplitMix(state: 5)
    let long = (0..<1000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
        let first = rookery_crc32c(0, Array(long[..<cut]), cut)
        let both = rookery_crc32c(first, Array(long[cut...]), 1000 - cut)
        #expect(both == rookery_crc32c_table(0, long, 1000))
    }
}

@Test func `a sealed frame has these bytes`() throws {
    let frame = Envelope.seal(payload: [1, 2, 3], header: header)
    #expect(
        hex(Array(frame[..<60]))
            == "524f4f4b" + "0100" + "0000" + "00000000" + "03000000" + "8877665544332211" + "a1a0000000000000"
            + "0300000000000000" + "0200000000000000" + "000000000000000000000000")
    #expect(hex(Array(frame[64...])) == "010203")
    let opened = try Envelope.open(frame)
    #expect(opened.header == header)
    #expect(opened.payload == 64..<67)
}

@Test func `an empty payload opens to an empty range`() throws {
    let opened = try Envelope.open(Envelope.seal(payload: [], header: header))
    #expect(opened.payload == 64..<64)
}

@Test func `no single flipped bit and no cut gets through`() {
    let frame = Envelope.seal(payload: Array("payload".utf8), header: header)
    for bit in 0..<(frame.count * 8) {
        var damaged = frame
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(refusal(damaged) != nil, "bit \(bit)")
    }
    for length in 0..<frame.count { #expect(refusal(Array(frame[..<length])) != nil) }
    #expect(refusal(frame + [0]) != nil)
}

@Test func `another major version is named, a minor one is let in`() throws {
    let frame = Envelope.seal(payload: [1], header: header)
    let major = resealed(frame) { $0[4] = 2 }
    #expect(refusal(major)?.kind == .version(ProtocolVersion(major: 2, minor: 0)))
    #expect(
        refusal(major)?.description
            == "frame, version: expected 1.x, found 2.0; run the same release of coordinator and worker on every host")
    let minor = resealed(frame) { $0[6] = 9 }
    #expect(try Envelope.open(minor).header.version == ProtocolVersion(major: 1, minor: 9))
}

@Test func `unknown critical flags and a used reserve are refused, other flags pass`() throws {
    let frame = Envelope.seal(payload: [1], header: header)
    #expect(refusal(resealed(frame) { $0[8] = 2 })?.subject == "flags")
    #expect(refusal(resealed(frame) { $0[9] = 0x80 })?.subject == "flags")
    #expect(try Envelope.open(resealed(frame) { $0[8] = 1 }).header.flags == Envelope.severalMessages)
    #expect(try Envelope.open(resealed(frame) { $0[10] = 1 }).header.flags == 0x1_0000)
    #expect(refusal(resealed(frame) { $0[50] = 1 })?.subject == "bytes 48 to 59")
    #expect(refusal(resealed(frame) { $0[59] = 1 })?.subject == "bytes 48 to 59")
}

@Test func `a stranger's frame is limited before anything is computed over it`() {
    let frame = Envelope.seal(
        payload: [UInt8](repeating: 0, count: WireLimits.payloadBytesBeforeAdmission + 1), header: header)
    #expect(refusal(frame, limit: WireLimits.payloadBytesBeforeAdmission)?.kind == .tooLarge)
    #expect(refusal(frame) == nil)
}

@Test func `a run's identifier is the FNV-1a hash of its name`() {
    // Noll's test vectors for FNV-1a, 64 bits.
    #expect(Envelope.runIdentifier("") == 0xCBF2_9CE4_8422_2325)
    #expect(Envelope.runIdentifier("a") == 0xAF63_DC4C_8601_EC8C)
    #expect(Envelope.runIdentifier("foobar") == 0x8594_4171_F739_67E8)
}
