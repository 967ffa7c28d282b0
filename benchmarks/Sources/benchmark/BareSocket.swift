// libzmq itself, without Rookery around it: what `dispatch` is measured against, and the other end of both.

import CZeroMQ
import Foundation

final class BareContext {
    let handle: UnsafeMutableRawPointer

    init(socketLimit: Int = 1023) throws {
        guard let handle = zmq_ctx_new(), zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, Int32(socketLimit)) == 0 else {
            throw BenchmarkError("cannot make a ZeroMQ context of \(socketLimit) sockets")
        }
        self.handle = handle
    }

    /// Three file descriptors a connection when both ends are here.
    static func raiseDescriptorLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// Keys of one side as libzmq's text form (Z85).
struct BareKeys {
    let publicKey: String
    let secretKey: String

    init() throws {
        var publicText = [CChar](repeating: 0, count: 41)
        var secretText = [CChar](repeating: 0, count: 41)
        guard zmq_curve_keypair(&publicText, &secretText) == 0 else { throw BenchmarkError("libzmq has no CURVE") }
        publicKey = cText(publicText)
        secretKey = cText(secretText)
    }

    static func text(ofKey bytes: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: 41)
        zmq_z85_encode(&text, bytes, bytes.count)
        return cText(text)
    }

    static func bytes(ofKey text: String) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 32)
        zmq_z85_decode(&bytes, text)
        return bytes
    }
}

final class BareSocket {
    let handle: UnsafeMutableRawPointer
    private let context: BareContext

    init(_ context: BareContext, _ kind: Int32) throws {
        guard let handle = zmq_socket(context.handle, kind) else {
            throw BenchmarkError("cannot make a socket: \(String(cString: zmq_strerror(zmq_errno())))")
        }
        self.handle = handle
        self.context = context
        set(ZMQ_LINGER, 0)
        set(ZMQ_SNDHWM, 10_000)
        set(ZMQ_RCVHWM, 10_000)
        set(ZMQ_BACKLOG, 4096)
        set(ZMQ_HANDSHAKE_IVL, 60_000)
    }

    deinit { zmq_close(handle) }

    func set(_ option: Int32, _ value: Int32) {
        var value = value
        zmq_setsockopt(handle, option, &value, 4)
    }

    func set(_ option: Int32, _ text: String) { zmq_setsockopt(handle, option, text, text.utf8.count) }

    func serve(as keys: BareKeys) {
        set(ZMQ_CURVE_SERVER, 1)
        set(ZMQ_CURVE_SECRETKEY, keys.secretKey)
    }

    func encrypt(to server: String, as keys: BareKeys) {
        set(ZMQ_CURVE_SERVERKEY, server)
        set(ZMQ_CURVE_PUBLICKEY, keys.publicKey)
        set(ZMQ_CURVE_SECRETKEY, keys.secretKey)
    }

    /// - Returns: the address that was taken.
    func bind() throws -> String {
        guard zmq_bind(handle, "tcp://127.0.0.1:*") == 0 else { throw BenchmarkError("cannot listen") }
        var text = [CChar](repeating: 0, count: 256)
        var size = text.count
        zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &size)
        return cText(text)
    }

    func connect(_ address: String) throws {
        guard zmq_connect(handle, address) == 0 else { throw BenchmarkError("cannot connect to \(address)") }
    }

    func send(_ bytes: [UInt8], more: Bool = false) {
        while zmq_send(handle, bytes, bytes.count, more ? ZMQ_SNDMORE : 0) < 0, zmq_errno() == EINTR {}
    }

    /// - Returns: nil when nothing is there.
    func receive() -> [UInt8]? {
        var message = zmq_msg_t()
        zmq_msg_init(&message)
        defer { zmq_msg_close(&message) }
        while zmq_msg_recv(&message, handle, ZMQ_DONTWAIT) < 0 {
            if zmq_errno() != EINTR { return nil }
        }
        return [UInt8](UnsafeRawBufferPointer(start: zmq_msg_data(&message), count: zmq_msg_size(&message)))
    }

    /// Waits for any of them; the places of those that have something.
    static func wait(_ sockets: [BareSocket], milliseconds: Int) -> [Int] {
        var items = sockets.map { zmq_pollitem_t(socket: $0.handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0) }
        guard zmq_poll(&items, Int32(items.count), milliseconds) > 0 else { return [] }
        return items.indices.filter { items[$0].revents != 0 }
    }
}

/// Up to its first zero.
private func cText(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
