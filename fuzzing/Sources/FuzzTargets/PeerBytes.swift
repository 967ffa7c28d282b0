// What may another process send on a socket?

import CChecksum
import Cluster
import Rollouts
import Transport
import Wire

enum PeerBytes {
    /// The frame with magic, length and checksum put right, so that what lies behind them is reached, by both sides of
    /// a conversation; then as it is.
    static func frame(_ bytes: [UInt8]) throws {
        if bytes.count >= Envelope.headerBytes {
            var repaired = bytes
            repaired.replaceSubrange(0..<4, with: Array("ROOK".utf8))
            store(UInt32(bytes.count - Envelope.headerBytes), at: 12, in: &repaired)
            store(checksum(repaired, hole: 60), at: 60, in: &repaired)
            _ = try refusable { try opened(repaired) }
            try converse(repaired, .worker(epoch: 1))
            try converse(repaired, .coordinator(run: "run"))
        }
        try opened(bytes)
    }

    private static func converse(_ frame: [UInt8], _ start: Conversation) throws {
        var side = start
        var messages: [Message] = []
        if try refusable({ messages = try side.open(frame).messages }) {
            try FuzzFinding.require(side.epoch != 0, "an accepted frame left its side without an epoch")
            try FuzzFinding.require(!messages.isEmpty, "an accepted frame says nothing")
            let again = try refusable { _ = try side.open(frame) }
            try FuzzFinding.require(!again, "the same frame was accepted twice")
        } else {
            try FuzzFinding.require(side == start, "a refused frame changed the conversation")
        }
    }

    private static func opened(_ bytes: [UInt8]) throws {
        let (header, payload) = try Envelope.open(bytes)
        let sealed = Envelope.seal(payload: Array(bytes[payload]), header: header)
        try FuzzFinding.require(sealed == bytes, "an accepted frame is not what sealing it again gives")
    }

    static func message(_ bytes: [UInt8]) throws {
        let encoded = WireCodec.encode(try WireCodec.decode(bytes))
        let again = try FuzzFinding.mustWork("an accepted message is refused after encoding it") {
            try WireCodec.decode(encoded)
        }
        try FuzzFinding.require(WireCodec.encode(again) == encoded, "the same message made other bytes")
    }

    /// A blob frame with a right checksum, then as it is.
    static func blob(_ bytes: [UInt8]) throws {
        if bytes.count >= 72 {
            var repaired = bytes
            store(checksum(repaired, hole: 68), at: 68, in: &repaired)
            _ = try refusable { try decodedBlob(repaired) }
        }
        try decodedBlob(bytes)
    }

    private static func decodedBlob(_ bytes: [UInt8]) throws {
        let encoded = try BlobFrame(decoding: bytes).encoded()
        try FuzzFinding.require(encoded == bytes, "an accepted blob frame is not what encoding it gives")
    }

    /// What strangers may send: tokens as people paste them, answers to a worker, and requests to a coordinator.
    static func join(_ bytes: [UInt8]) throws {
        if let text = String(validating: bytes, as: UTF8.self), JoinToken.isMeant(by: text) {
            let token = try JoinToken(text)
            let again = try FuzzFinding.mustWork("an accepted token is refused") { try JoinToken(token.text) }
            return try FuzzFinding.require(again == token, "a token reads back as another")
        }
        if try refusable({ _ = try JoinFrame.encode(JoinFrame.decodeAnswer(bytes)) }) { return }
        _ = try JoinFrame.encode(JoinFrame.decodeRequest(bytes))
    }

    // MARK: Repairing

    /// - Returns: whether it was accepted.
    private static func refusable(_ work: () throws -> Void) throws(FuzzFinding) -> Bool {
        do {
            try work()
            return true
        } catch let finding as FuzzFinding {
            throw finding
        } catch {
            return false
        }
    }

    private static func store(_ value: UInt32, at offset: Int, in bytes: inout [UInt8]) {
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
    }

    /// CRC32C of everything but the four bytes at `hole`.
    private static func checksum(_ bytes: [UInt8], hole: Int) -> UInt32 {
        let head = rookery_crc32c(0, bytes, hole)
        let tail = Array(bytes[(hole + 4)...])
        return rookery_crc32c(head, tail, tail.count)
    }
}
