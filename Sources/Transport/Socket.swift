// One libzmq socket, owned by the thread that made it.

import CZeroMQ
import Glibc

/// zmq_socket(3): "ØMQ sockets are not thread safe. Applications MUST NOT use a socket from multiple threads."
/// The compiler keeps that: the value can be neither copied nor sent to another thread, and closing is its end.
package struct Socket: ~Copyable {
    package enum Kind: Sendable {
        /// Talks to many; names each by an identity that it gives.
        case router
        /// Talks to one.
        case dealer
        /// Answers one question at a time.
        case reply

        fileprivate var code: Int32 {
            switch self {
            case .router: ZMQ_ROUTER
            case .dealer: ZMQ_DEALER
            case .reply: ZMQ_REP
            }
        }
    }

    /// What one attempt to receive found.
    enum Incoming {
        case nothing
        /// - Parameter key: what the connection proved to have the secret of; nil for one without encryption.
        case message([[UInt8]], key: PublicKey?)
        /// More frames than were asked for; all were dropped. Holds the first.
        case tooManyFrames(first: [UInt8])
    }

    private let context: Context
    let handle: UnsafeMutableRawPointer

    package init(_ context: Context, _ kind: Kind) throws(TransportError) {
        guard let handle = zmq_socket(context.handle, kind.code) else { throw .system("make", "a \(kind) socket") }
        self.context = context
        self.handle = handle
    }

    deinit {
        let status = zmq_close(handle)
        precondition(status == 0, "Socket: zmq_close failed with errno \(zmq_errno())")
    }

    /// Before `bind` and `connect`: most options only count for connections made later.
    package func set(_ options: [SocketOption]) throws(TransportError) {
        for option in options { try option.apply(to: handle) }
    }

    /// - Returns: the address with the port that was taken.
    package func bind(_ address: Address) throws(TransportError) -> Address {
        if address.isIPv6 { try set([.ipv6(true)]) }
        guard zmq_bind(handle, address.description) == 0 else { throw .system("listen on", "\(address)", zmq_errno()) }
        // Whoever may write to the file may connect.
        if case .ipc(let path) = address, chmod(path, 0o600) != 0 { throw .system("close to others", "\(address)") }
        var text = [CChar](repeating: 0, count: 512)
        var size = text.count
        guard zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &size) == 0 else {
            throw .system("read the address of", "\(address)", zmq_errno())
        }
        return try Address(String(decoding: text.prefix(max(size - 1, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    package func connect(_ address: Address) throws(TransportError) {
        if address.isIPv6 { try set([.ipv6(true)]) }
        guard zmq_connect(handle, address.description) == 0 else {
            throw .system("connect to", "\(address)", zmq_errno())
        }
    }

    /// - Parameter mayWait: wait for room or for a connection, as long as `.sendWaitLimit` says.
    /// - Returns: nil when sent, else the errno that says why not (EAGAIN, EHOSTUNREACH).
    func sendFrame(_ frame: [UInt8], more: Bool = false, mayWait: Bool = false) -> Int32? {
        let flags = (more ? ZMQ_SNDMORE : 0) | (mayWait ? 0 : ZMQ_DONTWAIT)
        while zmq_send(handle, frame, frame.count, flags) < 0 {
            let code = zmq_errno()
            if code == EINTR { continue }
            precondition(code == EAGAIN || code == EHOSTUNREACH, "Socket: zmq_send failed with errno \(code)")
            return code
        }
        return nil
    }

    /// Never waits.
    /// - Parameter frameCount: a message of more frames is dropped whole.
    func receive(frameCount: Int) -> Incoming {
        var frames: [[UInt8]] = []
        frames.reserveCapacity(frameCount)
        var count = 0
        while true {
            var message = zmq_msg_t()
            zmq_msg_init(&message)
            defer { zmq_msg_close(&message) }
            guard zmq_msg_recv(&message, handle, ZMQ_DONTWAIT) >= 0 else {
                let code = zmq_errno()
                if code == EINTR { continue }
                // libzmq hands out whole messages, so this happens before the first frame only.
                precondition(code == EAGAIN && count == 0, "Socket: zmq_msg_recv failed with errno \(code)")
                return .nothing
            }
            count += 1
            if count <= frameCount {
                let bytes = UnsafeRawBufferPointer(start: zmq_msg_data(&message), count: zmq_msg_size(&message))
                frames.append([UInt8](bytes))
            }
            guard zmq_msg_more(&message) == 0 else { continue }
            guard count <= frameCount else { return .tooManyFrames(first: frames[0]) }
            return .message(frames, key: Socket.key(of: &message))
        }
    }

    /// What the gatekeeper answered for the connection. Only on the peer's own frames: libzmq 4.3.4 forgets it on the
    /// identity frame that a ROUTER puts in front.
    private static func key(of message: inout zmq_msg_t) -> PublicKey? {
        zmq_msg_gets(&message, "User-Id").flatMap { PublicKey(hex: String(cString: $0)) }
    }

    /// Waits until a message is there or a descriptor can be read.
    /// - Parameter timeout: nil waits for ever. A signal ends the wait early with nothing ready.
    /// - Returns: for the socket, and for each descriptor.
    func wait(timeout: Duration?, descriptors: [Int32]) -> (socket: Bool, descriptors: [Bool]) {
        var items = [zmq_pollitem_t(socket: handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)]
        items += descriptors.map { zmq_pollitem_t(socket: nil, fd: $0, events: Int16(ZMQ_POLLIN), revents: 0) }
        let status = zmq_poll(&items, Int32(items.count), timeout.map { Int($0.pollMilliseconds) } ?? -1)
        if status < 0 {
            let code = zmq_errno()
            precondition(code == EINTR, "Socket: zmq_poll failed with errno \(code)")
            return (false, descriptors.map { _ in false })
        }
        return (items[0].revents != 0, items.dropFirst().map { $0.revents != 0 })
    }
}
