// Several messages in one frame: what one side tells the other at once costs both of them one system call.

import Cluster

/// A payload of messages, each behind its length (4 bytes, little-endian). They count as if each had come in a frame of
/// its own, one after the other; one that cannot be read refuses them all. A hello is never among them.
package enum MessageBundle {
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

    /// - Parameter messages: one or more that the limits allow together, with the flag where they are several.
    static func frame(_ messages: [WireCodec.PackableMessage], _ header: Envelope.Header) -> [UInt8] {
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
        var messages: [Message] = []
        for part in try parts(of: payload) {
            let message: Message
            do throws(WireError) {
                message = try WireCodec.decode(part)
            } catch {
                throw error.inside(place(messages.count))
            }
            if case .hello = message {
                throw WireError(
                    .message, place(messages.count), expected: "a hello in a frame of its own",
                    found: "it among others")
            }
            messages.append(message)
        }
        return messages
    }

    /// - Returns: each message's bytes; at least one.
    package static func parts(of payload: ArraySlice<UInt8>) throws(WireError) -> [ArraySlice<UInt8>] {
        // What decoding takes is bounded for each message; this bounds it for all of them.
        guard payload.count <= WireLimits.bundleBytes else {
            throw WireError(
                .tooLarge, "payload", expected: "at most \(WireLimits.bundleBytes) bytes of several messages",
                found: "\(payload.count)")
        }
        var parts: [ArraySlice<UInt8>] = []
        var rest = payload
        repeat {
            guard parts.count < WireLimits.messagesPerFrame else {
                throw WireError(
                    .message, "messages", expected: "at most \(WireLimits.messagesPerFrame) in a frame", found: "more")
            }
            guard rest.count >= lengthBytes else {
                throw WireError(
                    .message, place(parts.count), expected: "a length of \(lengthBytes) bytes",
                    found: "\(rest.count) until the end")
            }
            let length = rest.prefix(lengthBytes).reversed().reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(lengthBytes)
            guard length <= rest.count else {
                throw WireError(
                    .message, place(parts.count), expected: "\(length) bytes", found: "\(rest.count) until the end")
            }
            parts.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        } while !rest.isEmpty
        return parts
    }

    /// For errors alone.
    private static func place(_ index: Int) -> String { "messages[\(index)]" }
}
