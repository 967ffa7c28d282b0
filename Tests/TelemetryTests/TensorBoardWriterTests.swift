// Are the bytes what TensorBoard reads?

import Cluster
import Foundation
import Rollouts
import Testing

@testable import Telemetry

@Suite struct `CRC-32C` {
    /// Test vectors of RFC 3720, B.4, and the customary check value.
    @Test func `agrees with the published values`() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xe306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(CRC32C.checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46dd_794e)
        #expect(CRC32C.checksum([]) == 0)
    }

    @Test func `is masked by a rotation and a constant`() {
        // 0xe3069283 rotated right by 15 is 0x2507c60d; plus 0xa282ead8.
        #expect(CRC32C.masked(Array("123456789".utf8)) == 0xc78a_b0e5)
    }
}

@Suite struct `A TensorBoard file` {
    /// What TensorBoard's own record writer and protocol buffers (version 2.21) make of the same four events.
    private let golden = """
        1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110
        31000000000000009d8383e90900002040fc54d94110032a240a120a0b7265776172645f6d65616e150000c03e0a0e0a
        076b6c5f6d65616e15000000bf274e55ef
        720000000000000025053a820900002040fc54d94110ac022a640a170a1068656c646f75745f61636375726163791500
        00e03e0a250a1e68656c646f75745f636f6d706c6574696f6e5f746f6b656e735f6d65616e15000000410a220a1b6865
        6c646f75745f61636375726163792f6164645f316469676974150000003f739170fe
        0f000000000000006d532b090900002040fc54d941100b3a0208015e354911
        """.filter { !$0.isWhitespace }

    @Test func `has the bytes of TensorBoard's own writer`() throws {
        let folder = try Folder()
        let writer = try TensorBoardWriter(folder: folder.path + "/tb", suffix: "host.42", clock: { 1_700_000_000.5 })
        try writer.append(metrics(3, [("reward_mean", 0.375), ("kl_mean", -0.5)]))
        try writer.append(report(300, right: 7, wrong: 9, sources: [("add_1digit", 4, 8), ("none", 0, 0)]))
        try writer.rewind(toStep: 10)
        #expect(writer.path == folder.path + "/tb/events.out.tfevents.1700000000.host.42")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: writer.path))
        let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(hex == golden)
    }

    @Test func `frames verify one after the other`() throws {
        let folder = try Folder()
        let writer = try TensorBoardWriter(folder: folder.path)
        for step in 1...20 { try writer.append(metrics(step, [("a", .nan), ("b", Double(step))])) }
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: writer.path)))
        var offset = 0
        var frameCount = 0
        func number(_ slice: ArraySlice<UInt8>) -> UInt64 { slice.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        while offset < bytes.count {
            let length = Int(number(bytes[offset..<offset + 8]))
            #expect(number(bytes[offset + 8..<offset + 12]) == UInt64(CRC32C.masked(bytes[offset..<offset + 8])))
            let data = bytes[offset + 12..<offset + 12 + length]
            #expect(number(bytes[data.endIndex..<data.endIndex + 4]) == UInt64(CRC32C.masked(data)))
            offset = data.endIndex + 4
            frameCount += 1
        }
        #expect(offset == bytes.count)
        #expect(frameCount == 21)
    }

    @Test(
        arguments: [
            (0, [0]), (127, [0x7f]), (128, [0x80, 0x01]), (300, [0xac, 0x02]),
            (.max, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] as [(UInt64, [UInt8])])
    func `writes numbers in seven-bit groups`(value: UInt64, bytes: [UInt8]) {
        #expect(TensorBoardRecord.varint(value) == bytes)
    }
}
