// How a socket behaves: the options this protocol uses, and no others.

import CZeroMQ

/// Left out on purpose, because each can be turned against the process that sets it (proto/PROTOCOL.md has the why):
/// routing ids chosen by a peer, socket monitors, and any heartbeat interval but zero.
package enum SocketOption: Equatable, Sendable {
    /// How long a closed socket goes on sending what it holds.
    case linger(Duration)
    /// Whole messages queued for one peer before sending says `.full`.
    case sendLimit(Int)
    case receiveLimit(Int)
    /// A longer frame ends the connection it came on, before memory is taken.
    case frameLimitBytes(Int)
    /// Connections waiting to be accepted.
    case backlog(Int)
    /// A connection that has not said what it is by then is closed.
    case handshakeLimit(Duration)
    case reconnectFirst(Duration)
    case reconnectMost(Duration)
    /// Queue only for connections that exist.
    case immediate(Bool)
    case sendWaitLimit(Duration)
    /// Say that a peer is gone instead of dropping what is sent to it.
    case mandatory(Bool)
    /// Let a new connection take over a peer's identity.
    case handover(Bool)
    /// ZMTP's own heartbeats.
    case heartbeat(Duration)
    case ipv6(Bool)
    /// Connections made from now on are encrypted, and this is the end whose key is known before.
    case curveServer(Bool)
    case curveSecretKey(SecretKey)
    case curvePublicKey(PublicKey)
    /// The key that the other end must prove to have the secret of.
    case curveServerKey(PublicKey)
    /// Under which the gatekeeper is asked about connections.
    case zapDomain(String)
    /// Without a gatekeeper nobody is let in.
    case zapEnforceDomain(Bool)

    private enum Value {
        case number(Int32)
        case wideNumber(Int64)
        case bytes([UInt8])
    }

    private var code: Int32 {
        switch self {
        case .linger: ZMQ_LINGER
        case .sendLimit: ZMQ_SNDHWM
        case .receiveLimit: ZMQ_RCVHWM
        case .frameLimitBytes: ZMQ_MAXMSGSIZE
        case .backlog: ZMQ_BACKLOG
        case .handshakeLimit: ZMQ_HANDSHAKE_IVL
        case .reconnectFirst: ZMQ_RECONNECT_IVL
        case .reconnectMost: ZMQ_RECONNECT_IVL_MAX
        case .immediate: ZMQ_IMMEDIATE
        case .sendWaitLimit: ZMQ_SNDTIMEO
        case .mandatory: ZMQ_ROUTER_MANDATORY
        case .handover: ZMQ_ROUTER_HANDOVER
        case .heartbeat: ZMQ_HEARTBEAT_IVL
        case .ipv6: ZMQ_IPV6
        case .curveServer: ZMQ_CURVE_SERVER
        case .curveSecretKey: ZMQ_CURVE_SECRETKEY
        case .curvePublicKey: ZMQ_CURVE_PUBLICKEY
        case .curveServerKey: ZMQ_CURVE_SERVERKEY
        case .zapDomain: ZMQ_ZAP_DOMAIN
        case .zapEnforceDomain: ZMQ_ZAP_ENFORCE_DOMAIN
        }
    }

    private var value: Value {
        switch self {
        case .sendLimit(let count), .receiveLimit(let count), .backlog(let count): .number(Int32(clamping: count))
        case .frameLimitBytes(let count): .wideNumber(Int64(count))
        case .immediate(let flag), .mandatory(let flag), .handover(let flag), .ipv6(let flag), .curveServer(let flag),
            .zapEnforceDomain(let flag):
            .number(flag ? 1 : 0)
        case .linger(let time), .handshakeLimit(let time), .reconnectFirst(let time), .reconnectMost(let time),
            .sendWaitLimit(let time), .heartbeat(let time):
            .number(time.pollMilliseconds)
        case .curveSecretKey(let key): .bytes(key.bytes)
        case .curvePublicKey(let key), .curveServerKey(let key): .bytes(key.bytes)
        case .zapDomain(let domain): .bytes(Array(domain.utf8))
        }
    }

    /// Whether libzmq lets it be read back.
    var isReadable: Bool {
        switch self {
        case .mandatory, .handover: false
        default: true
        }
    }

    func apply(to handle: UnsafeMutableRawPointer) throws(TransportError) {
        let status: Int32
        switch value {
        case .number(var number): status = zmq_setsockopt(handle, code, &number, MemoryLayout<Int32>.size)
        case .wideNumber(var number): status = zmq_setsockopt(handle, code, &number, MemoryLayout<Int64>.size)
        case .bytes(let bytes): status = zmq_setsockopt(handle, code, bytes, bytes.count)
        }
        if status != 0 { throw .system("set", "socket option \(self)") }
    }

    /// Whether the socket says that it has this value.
    func holds(on handle: UnsafeMutableRawPointer) throws(TransportError) -> Bool {
        precondition(isReadable, "SocketOption: \(self) cannot be read back")
        let status: Int32
        let isSame: Bool
        switch value {
        case .number(let expected):
            var found: Int32 = 0
            var size = MemoryLayout<Int32>.size
            status = zmq_getsockopt(handle, code, &found, &size)
            isSame = found == expected
        case .wideNumber(let expected):
            var found: Int64 = 0
            var size = MemoryLayout<Int64>.size
            status = zmq_getsockopt(handle, code, &found, &size)
            isSame = found == expected
        case .bytes(let expected):
            // Keys are asked for by their length; text comes with a zero at its end.
            let isText = if case .zapDomain = self { true } else { false }
            var found = [UInt8](repeating: 0, count: isText ? 512 : expected.count)
            var size = found.count
            status = zmq_getsockopt(handle, code, &found, &size)
            isSame = Array(found.prefix(isText ? max(0, size - 1) : size)) == expected
        }
        if status != 0 { throw .system("read", "socket option \(self)") }
        return isSame
    }
}

extension Duration {
    /// For poll and libzmq: whole milliseconds, rounded up so that a wait never ends before its time.
    var pollMilliseconds: Int32 {
        let (seconds, attoseconds) = components
        let perMillisecond: Int64 = 1_000_000_000_000_000
        if seconds < 0 || attoseconds < 0 { return 0 }
        if seconds >= Int64(Int32.max) / 1000 { return Int32.max }
        return Int32(seconds * 1000 + (attoseconds + perMillisecond - 1) / perMillisecond)
    }
}
