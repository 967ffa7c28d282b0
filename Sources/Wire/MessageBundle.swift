// Several messages in one frame: what one side tells the other at once costs both of them one system call.

import Cluster

/// A payload of messages, each behind its length (4 bytes, little-endian). They count as if each had come in a frame of
/// its own, one after the other; one that cannot be read refuses them all. A hello is never among them.
enum MessageBundle {
    private static let lengthBytes = 4

    /// As few frames as the limits allow, one after the other; a frame of one message is a plain one.
    /// - Parameters:
    ///   - header: makes the next frame's header, given its flags.
    ///   - send: whether the frame left; if not, the rest is not sealed.
    /// - Returns: whether all left.
    static func seal(
        _ messages: [Message], header: (UInt32) -> Envelope.Header, send: ([UInt8]) -> Bool
    ) -> Bool {
        var gathered: [WireCodec.PackableMessage] = []
        var gatheredBytes = 0
        func finish() -> Bool {
            let parts = gathered
            gathered = []
            gatheredBytes = 0
            return parts.isEmpty || send(frame(parts, header(parts.count == 1 ? 0 : Envelope.severalMessages)))
        }
        for message in messages {
            let packable = WireCodec.PackableMessage(message)
            let byteCount = lengthBytes + packable.byteCount
            let isFull =
                gatheredBytes + byteCount > WireLimits.bundleBytes || gathered.count == WireLimits.messagesPerFrame
            if isFull, !finish() { return false }
            gathered.append(packable)
            gatheredBytes += byteCount
        }
        return finish()
    }

    private static func frame(_ messages: [WireCodec.PackableMessage], _ header: Envelope.Header) -> [UInt8] {
        let prefixBytes = messages.count == 1 ? 0 : lengthBytes
        let capacity = messages.reduce(Envelope.headerBytes) { $0 + prefixBytes + $1.byteCount }
        return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            count = Envelope.headerBytes
            for message in messages {
                if prefixBytes > 0 {
                    bytes.storeBytes(
                        of: UInt32(message.byteCount).littleEndian, toByteOffset: count, as: UInt32.self)
                }
                count += prefixBytes
                count += message.pack(UnsafeMutableRawBufferPointer(rebasing: bytes[count...]))
            }
            Envelope.seal(UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]), header)
        }
    }

    static func open(_ payload: ArraySlice<UInt8>) throws(WireError) -> [Message] {
        // What decoding takes is bounded for each message; this bounds it for all of them.
        guard payload.count <= WireLimits.bundleBytes else {
            throw WireError(
                .tooLarge, "payload", expected: "at most \(WireLimits.bundleBytes) bytes of several messages",
                found: "\(payload.count)")
        }
        var messages: [Message] = []
        var rest = payload
        repeat {
            let place = "messages[\(messages.count)]"
            guard messages.count < WireLimits.messagesPerFrame else {
                throw WireError(
                    .message, "messages", expected: "at most \(WireLimits.messagesPerFrame) in a frame", found: "more")
            }
            let length = try takeLength(&rest, place)
            let message: Message
            do throws(WireError) {
                message = try WireCodec.decode(rest.prefix(length))
            } catch {
                throw error.inside(place)
            }
            if case .hello = message {
                throw WireError(.message, place, expected: "a hello in a frame of its own", found: "it among others")
            }
            messages.append(message)
            rest = rest.dropFirst(length)
        } while !rest.isEmpty
        return messages
    }

    private static func takeLength(_ rest: inout ArraySlice<UInt8>, _ place: String) throws(WireError) -> Int {
        guard rest.count >= lengthBytes else {
            throw WireError(
                .message, place, expected: "a length of \(lengthBytes) bytes", found: "\(rest.count) until the end")
        }
        let length = rest.prefix(lengthBytes).reversed().reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(lengthBytes)
        guard length <= rest.count else {
            throw WireError(.message, place, expected: "\(length) bytes", found: "\(rest.count) until the end")
        }
        return length
    }
}
