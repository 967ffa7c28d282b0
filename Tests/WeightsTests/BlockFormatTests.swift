// Do stored numbers become the right float32?

import Foundation
import Testing

@testable import Weights

@Suite struct BlockFormatTests {
    private struct Row: Decodable {
        let type: String
        let blocks: String
        let values: String
    }

    private func decode(_ type: ElementType, _ bytes: [UInt8]) -> [Float] {
        var out = [Float](repeating: .nan, count: bytes.count / type.blockBytes * type.blockElements)
        bytes.withUnsafeBytes { raw in out.withUnsafeMutableBufferPointer { type.decode(raw, into: $0) } }
        return out
    }

    @Test func `every quantised type gives the reference implementation's values bit for bit`() throws {
        let rows = try fixtureLines("quantised_blocks", as: Row.self)
        #expect(Set(rows.map(\.type)) == Set(ElementType.allCases.filter { $0.blockElements > 1 }.map(\.rawValue)))
        for row in rows {
            let type = try #require(ElementType(rawValue: row.type))
            #expect(floatBytes(decode(type, bytes(hex: row.blocks))) == bytes(hex: row.values), "\(row.type)")
        }
    }

    @Test(arguments: ElementType.allCases.filter { $0.blockElements > 1 })
    func `random blocks decode as the description of the format says`(type: ElementType) {
        var random = SplitMix(seed: 7)
        for _ in 0..<40 {
            var block = (0..<type.blockBytes).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            for offset in PlainBlock.halfOffsets(type) {
                let half = Float16(Float(Int64(bitPattern: random.next()) >> 40) * 0x1p-20).bitPattern
                block[offset] = UInt8(half & 255)
                block[offset + 1] = UInt8(half >> 8)
            }
            let plain = PlainBlock(type: type, bytes: block)
            #expect(decode(type, block) == (0..<type.blockElements).map { plain.value($0) })
        }
    }

    @Test func `hand-computed blocks`() {
        // Scale 0.5, minimum -1; byte i is 0xF0 | i: low nibbles count 0...15, high nibbles are all 15.
        let q4 = [0x00, 0x38, 0x00, 0xbc] + (0..<16).map { UInt8(0xf0 | $0) }
        #expect(decode(.q4_1, q4) == (0..<16).map { Float($0) / 2 - 1 } + [Float](repeating: 6.5, count: 16))
        // Scale -2; bytes -16...15.
        let q8 = [0x00, 0xc0] + (-16..<16).map { UInt8(bitPattern: Int8($0)) }
        #expect(decode(.q8_0, q8) == (-16..<16).map { Float($0) * -2 })
        // Scale 1; all nibbles 0, so -8.
        #expect(decode(.q4_0, [0x00, 0x3c] + [UInt8](repeating: 0, count: 16)) == [Float](repeating: -8, count: 32))
    }

    @Test func `every half and every brain float decodes exactly`() {
        let patterns = (0...UInt16.max).map { $0 }
        let stored = patterns.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let halves = decode(.float16, stored)
        let brains = decode(.bfloat16, stored)
        for (index, pattern) in patterns.enumerated() {
            let half = Float(Float16(bitPattern: pattern))
            if half.isNaN ? !halves[index].isNaN : half.bitPattern != halves[index].bitPattern {
                Issue.record("half \(pattern): \(halves[index]), expected \(half)")
            }
            if brains[index].bitPattern != UInt32(pattern) << 16 { Issue.record("brain float \(pattern)") }
        }
    }

    @Test func `encoding rounds to nearest even and counts what overflows`() {
        var random = SplitMix(seed: 11)
        var values: [Float] = [
            0, -0.0, 65504, 65519.996, 65520, -65536, .infinity, -.infinity, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1p-14,
            1 + 0x1p-11, 1 + 0x1.8p-10, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0x1.fdfffep-15,
        ]
        for _ in 0..<20_000 {
            let bits = UInt32(truncatingIfNeeded: random.next())
            let value = Float(bitPattern: bits)
            values.append(value.isNaN ? 1 : value)
            values.append(Float(bitPattern: bits & 0x8fff_ffff | 0x3000_0000))
        }
        let (halves, halfOverflow) = encode(.float16, values)
        #expect(halves == values.map { Float16($0).bitPattern })
        #expect(halfOverflow == values.count { $0.isFinite && Float16($0).isInfinite })
        let (brains, brainOverflow) = encode(.bfloat16, values)
        #expect(brains == values.map { PlainBlock.roundedBrainFloat($0) })
        #expect(brainOverflow == values.count { $0.isFinite && PlainBlock.roundedBrainFloat($0) & 0x7fff == 0x7f80 })
        #expect(encode(.float16, [.nan]).0.allSatisfy { Float16(bitPattern: $0).isNaN })
        #expect(encode(.bfloat16, [Float(bitPattern: 0x7f80_0001)]).0[0] & 0x7fff > 0x7f80)
    }

    private func encode(_ format: FloatFormat, _ values: [Float]) -> ([UInt16], Int) {
        var out = [UInt16](repeating: 0, count: values.count)
        let overflowed = values.withUnsafeBufferPointer { from in
            out.withUnsafeMutableBytes { format.encode(from, into: $0) }
        }
        return (out, overflowed)
    }

    @Test func `elements that do not fill blocks have no size`() {
        #expect(ElementType.q4_K.byteCount(elements: 257) == nil)
        #expect(ElementType.q6_K.byteCount(elements: 512) == 420)
        #expect(ElementType.float32.byteCount(elements: Int.max) == nil)
        #expect(ElementType.float32.byteCount(elements: -4) == nil)
    }
}

/// One element at a time, straight from the description of each format.
struct PlainBlock {
    let type: ElementType
    let bytes: [UInt8]

    static func halfOffsets(_ type: ElementType) -> [Int] {
        switch type {
        case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
        case .q6_K: [208]
        default: [0]
        }
    }

    func value(_ i: Int) -> Float {
        switch type {
        case .q4_0: return half(0) * Float(nibble32(2, i) - 8)
        case .q4_1: return half(0) * Float(nibble32(4, i)) + half(2)
        case .q5_0: return half(0) * Float(nibble32(6, i) + 16 * bit(2, i) - 16)
        case .q5_1: return half(0) * Float(nibble32(8, i) + 16 * bit(4, i)) + half(2)
        case .q8_0: return half(0) * Float(Int8(bitPattern: bytes[2 + i]))
        case .q4_K:
            let (scale, minimum) = scales(i / 32)
            return half(0) * scale * Float(nibbleK(16, i)) - half(2) * minimum
        case .q5_K:
            let (scale, minimum) = scales(i / 32)
            let fifth = Int(bytes[16 + i % 32] >> UInt8(i / 32)) & 1
            return half(0) * scale * Float(nibbleK(48, i) + 16 * fifth) - half(2) * minimum
        case .q6_K:
            let part = i % 128 / 32
            let low = Int(bytes[i / 128 * 64 + (part & 1) * 32 + i % 32] >> UInt8(part < 2 ? 0 : 4)) & 15
            let high = Int(bytes[128 + i / 128 * 32 + i % 32] >> UInt8(2 * part)) & 3
            return half(208) * Float(Int8(bitPattern: bytes[192 + i / 16])) * Float(low + 16 * high - 32)
        case .float32, .float16, .bfloat16: preconditionFailure("\(type) has no blocks")
        }
    }

    private func half(_ offset: Int) -> Float {
        Float(Float16(bitPattern: UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8))
    }

    private func nibble32(_ start: Int, _ i: Int) -> Int {
        i < 16 ? Int(bytes[start + i]) % 16 : Int(bytes[start + i - 16]) / 16
    }

    private func nibbleK(_ start: Int, _ i: Int) -> Int {
        let byte = Int(bytes[start + i / 64 * 32 + i % 32])
        return i % 64 < 32 ? byte % 16 : byte / 16
    }

    private func bit(_ start: Int, _ i: Int) -> Int { Int(bytes[start + i / 8] >> UInt8(i % 8)) & 1 }

    private func scales(_ sub: Int) -> (Float, Float) {
        let packed = bytes[4..<16].map { Int($0) }
        if sub < 4 { return (Float(packed[sub] % 64), Float(packed[sub + 4] % 64)) }
        return (
            Float(packed[sub + 4] % 16 + packed[sub - 4] / 64 * 16),
            Float(packed[sub + 4] / 16 + packed[sub] / 64 * 16)
        )
    }

    /// By comparing with both neighbours.
    static func roundedBrainFloat(_ value: Float) -> UInt16 {
        let down = UInt16(value.bitPattern >> 16)
        let rest = value.bitPattern & 0xffff
        if rest == 0 || !value.isFinite { return down }
        if rest == 0x8000 { return down + (down & 1) }
        return rest > 0x8000 ? down + 1 : down
    }
}

struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
