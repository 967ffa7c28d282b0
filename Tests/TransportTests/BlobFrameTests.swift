// The bytes of blob transfer, and a server's answers without a socket.

import CChecksum
import Rollouts
import Testing

@testable import Transport

private let peer = PeerIdentifier(bytes: [0, 1, 2, 3, 4])

private func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

@Test func `a blob frame has these bytes and comes back from them`() throws {
    var frame = BlobFrame(
        .put, Digest(bytes: [UInt8](0..<32))!, totalBytes: 0x0102, offset: 3, payload: [0xAA, 0xBB])
    frame.request = 9
    let bytes = frame.encoded()
    let header =
        "52424c42" + "0100" + "04" + "00" + "0900000000000000"
        + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" + "0201000000000000" + "0300000000000000"
        + "02000000"
    #expect(hex(Array(bytes[..<68])) == header)
    #expect(hex(Array(bytes[72...])) == "aabb")
    let summed = Array(bytes[..<68] + bytes[72...])
    let checksum = rookery_crc32c(0, summed, summed.count)
    #expect(Array(bytes[68..<72]) == withUnsafeBytes(of: checksum.littleEndian) { Array($0) })
    #expect(try BlobFrame(decoding: bytes) == frame)
}

@Test func `no cut and no flipped bit of a blob frame gets through`() {
    var frame = BlobFrame(.get, Digest(bytes: [UInt8](0..<32))!, totalBytes: 100, offset: 3, wanted: 50)
    frame.request = 1
    let bytes = frame.encoded()
    for length in 0..<bytes.count {
        #expect(throws: TransportError.self) { try BlobFrame(decoding: Array(bytes[..<length])) }
    }
    for bit in 0..<(bytes.count * 8) {
        var damaged = bytes
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(throws: TransportError.self) { try BlobFrame(decoding: damaged) }
    }
}

/// What the responder says to one request, decoded.
private func answer(_ responder: inout BlobResponder, _ request: BlobFrame) throws -> BlobFrame {
    let reply = try #require(responder.answer(request.encoded(), from: peer).reply)
    return try BlobFrame(decoding: reply)
}

@Test func `a server answers only what lies inside a blob it has`() throws {
    let storage = MemoryStorage()
    let blob = storage.add(blobBytes(5000))
    var responder = BlobResponder(storage: storage, blobLimitBytes: 1 << 20)
    let chunk = try answer(&responder, BlobFrame(.get, blob.digest, totalBytes: 5000, offset: 4000, wanted: 1000))
    #expect(chunk.kind == .data && chunk.payload == Array(blobBytes(5000)[4000...]))
    for (offset, wanted) in [(4000, 1001), (5000, 1), (0, 0), (0, (1 << 20) + 1)] {
        let reply = try answer(
            &responder, BlobFrame(.get, blob.digest, totalBytes: 5000, offset: offset, wanted: wanted))
        #expect(reply.kind == .refused && reply.refusal == .request)
        #expect(reply.reason == "\(wanted) bytes at \(offset) of a blob of 5000")
    }
    #expect(try answer(&responder, BlobFrame(.stat, blob.digest)).totalBytes == 5000)
    let other = digest(of: [1])
    #expect(try answer(&responder, BlobFrame(.stat, other)).kind == .missing)
    #expect(try answer(&responder, BlobFrame(.get, other, totalBytes: 1, offset: 0, wanted: 1)).kind == .missing)
    #expect(try answer(&responder, BlobFrame(.put, other, totalBytes: (1 << 20) + 1)).refusal == .request)
    let past = BlobFrame(.put, other, totalBytes: 3, offset: 2, payload: [1, 2])
    #expect(try answer(&responder, past).reason == "2 bytes at 2 of a blob of 3")
    let resized = BlobFrame(.put, blob.digest, totalBytes: 4999)
    #expect(try answer(&responder, resized).reason == "stored with 5000 bytes, not 4999")
}

@Test func `a client's nonsense gets no answer`() {
    let storage = MemoryStorage()
    var responder = BlobResponder(storage: storage, blobLimitBytes: 1000)
    let (noReply, event) = responder.answer([1, 2, 3], from: peer)
    #expect(noReply == nil)
    #expect(event == .malformed(peer, reason: "3 bytes, shorter than its header"))
    let data = BlobFrame(.data, digest(of: []), totalBytes: 1, offset: 0, payload: [1])
    #expect(responder.answer(data.encoded(), from: peer).reply == nil)
}

@Test func `a server takes bytes in order only and says where it stands`() throws {
    let storage = MemoryStorage()
    var responder = BlobResponder(storage: storage, blobLimitBytes: 1000)
    let bytes = blobBytes(30)
    let name = digest(of: bytes)
    func put(_ offset: Int, _ count: Int) throws -> BlobFrame {
        try answer(
            &responder,
            BlobFrame(.put, name, totalBytes: 30, offset: offset, payload: Array(bytes[offset..<(offset + count)])))
    }
    #expect(try put(0, 0).offset == 0)
    #expect(try put(0, 10).offset == 10)
    #expect(try put(20, 10).offset == 10, "a gap: not taken")
    #expect(try put(0, 10).offset == 10, "twice: not taken")
    // A restarted server asks its storage.
    responder = BlobResponder(storage: storage, blobLimitBytes: 1000)
    #expect(try put(0, 0).offset == 10)
    #expect(try put(10, 20).offset == 30)
    #expect(storage.size(of: name) == 30)
    #expect(try put(0, 5).offset == 30, "stored: nothing more to do")
    #expect(storage.state.withLock { $0.writes } == [0, 10])
}

@Test func `more unfinished uploads than are remembered go on where storage stands`() throws {
    let storage = MemoryStorage()
    var responder = BlobResponder(storage: storage, blobLimitBytes: 1000)
    let blobs = (0..<40).map { blobBytes(20, seed: UInt64($0) * 1_000_003) }
    for bytes in blobs {
        let first = BlobFrame(.put, digest(of: bytes), totalBytes: 20, offset: 0, payload: Array(bytes[..<10]))
        #expect(try answer(&responder, first).offset == 10)
    }
    for bytes in blobs {
        let last = BlobFrame(.put, digest(of: bytes), totalBytes: 20, offset: 10, payload: Array(bytes[10...]))
        #expect(try answer(&responder, last).offset == 20)
    }
}
