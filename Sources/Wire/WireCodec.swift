// Messages to bytes and back: the payload of an envelope. protobuf-c's pointers do not leave this module.

import CWire
import Cluster

package enum WireCodec {
    /// The same message always makes the same bytes (fields in order of their numbers).
    package static func encode(_ message: Message) -> [UInt8] {
        let packable = PackableMessage(message)
        return [UInt8](unsafeUninitializedCapacity: packable.byteCount) { buffer, count in
            count = packable.pack(UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// One outgoing message as C structures.
    struct PackableMessage {
        private let arena = EncodingArena()
        private let root: UnsafeMutablePointer<Rookery__Message>
        let byteCount: Int

        init(_ message: Message) {
            root = arena.message(message)
            byteCount = rookery__message__get_packed_size(root)
        }

        /// - Parameter place: at least `byteCount` bytes. A message is never empty: it has the tag of its body.
        /// - Returns: how many were written: `byteCount`.
        func pack(_ place: UnsafeMutableRawBufferPointer) -> Int {
            withExtendedLifetime(arena) {
                rookery__message__pack(root, place.baseAddress!.assumingMemoryBound(to: UInt8.self))
            }
        }
    }

    package static func decode(_ bytes: [UInt8]) throws(WireError) -> Message {
        try decode(bytes[...])
    }

    package static func decode(_ bytes: ArraySlice<UInt8>) throws(WireError) -> Message {
        let result = bytes.withUnsafeBytes { buffer -> Result<Message, WireError> in
            do throws(WireError) {
                return .success(try decode(buffer))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Any bytes give a message that keeps every rule of proto/rookery.proto, or an error.
    package static func decode(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Message {
        guard bytes.count <= WireLimits.maximumPayloadBytes else {
            throw WireError(
                .tooLarge, "payload", expected: "at most \(WireLimits.maximumPayloadBytes) bytes",
                found: "\(bytes.count)")
        }
        let unknown = try withUnsafePointer(to: rookery__message__descriptor) {
            descriptor throws(WireError) in try StructureScan.check(bytes, as: descriptor)
        }
        // Everything protobuf-c makes is freed with the allocator.
        let allocator = BoundedAllocator(
            limitBytes: WireLimits.decodingBytes(payload: bytes.count), blockBytes: 2 * bytes.count + 2048)
        defer { withExtendedLifetime(allocator) {} }
        var table = allocator.table
        let root = rookery__message__unpack(&table, bytes.count, bytes.bindMemory(to: UInt8.self).baseAddress)
        guard let root else {
            if let request = allocator.refusedRequest {
                throw WireError(
                    .tooLarge, "", expected: "a message that decodes into at most \(allocator.limitBytes) bytes",
                    found: "a request for \(request) more")
            }
            throw WireError(.message, "", expected: "a protobuf message", found: "\(bytes.count) bytes of another kind")
        }
        if root.pointee.body_case == ROOKERY__MESSAGE__BODY__NOT_SET {
            let found = unknown.map { "body \($0), which this release does not know" } ?? "none"
            throw WireError(.message, "", expected: "one body", found: found)
        }
        try checkSize(of: root.pointee.body_case, bytes.count)
        return try message(root.pointee)
    }

    /// Only messages with tokens or completions may be large.
    private static func checkSize(of body: Rookery__Message__BodyCase, _ count: Int) throws(WireError) {
        switch body {
        case ROOKERY__MESSAGE__BODY_ROLLOUT_RESULT, ROOKERY__MESSAGE__BODY_SCORE_RESULT,
            ROOKERY__MESSAGE__BODY_ROLLOUT, ROOKERY__MESSAGE__BODY_VERIFY, ROOKERY__MESSAGE__BODY_TRAINING_GROUP,
            ROOKERY__MESSAGE__BODY_PRETRAIN, ROOKERY__MESSAGE__BODY_SCORE:
            return
        default:
            guard count <= WireLimits.controlPayloadBytes else {
                throw WireError(
                    .tooLarge, "payload",
                    expected: "at most \(WireLimits.controlPayloadBytes) bytes of message \(body.rawValue)",
                    found: "\(count)")
            }
        }
    }
}
