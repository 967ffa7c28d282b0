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
        }
    }

    private var value: Int64 {
        switch self {
        case .sendLimit(let count), .receiveLimit(let count), .frameLimitBytes(let count), .backlog(let count):
            Int64(count)
        case .immediate(let flag), .mandatory(let flag), .handover(let flag), .ipv6(let flag): flag ? 1 : 0
        case .linger(let time), .handshakeLimit(let time), .reconnectFirst(let time), .reconnectMost(let time),
            .sendWaitLimit(let time), .heartbeat(let time):
            Int64(time.pollMilliseconds)
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
        if case .frameLimitBytes = self {
            var wide = value
            status = zmq_setsockopt(handle, code, &wide, MemoryLayout<Int64>.size)
        } else {
            var narrow = Int32(clamping: value)
            status = zmq_setsockopt(handle, code, &narrow, MemoryLayout<Int32>.size)
        }
        if status != 0 { throw .system("set", "socket option \(self)") }
    }

    /// Whether the socket says that it has this value.
    func holds(on handle: UnsafeMutableRawPointer) throws(TransportError) -> Bool {
        precondition(isReadable, "SocketOption: \(self) cannot be read back")
        let status: Int32
        let found: Int64
        if case .frameLimitBytes = self {
            var wide: Int64 = 0
            var size = MemoryLayout<Int64>.size
            status = zmq_getsockopt(handle, code, &wide, &size)
            found = wide
        } else {
            var narrow: Int32 = 0
            var size = MemoryLayout<Int32>.size
            status = zmq_getsockopt(handle, code, &narrow, &size)
            found = Int64(narrow)
        }
        if status != 0 { throw .system("read", "socket option \(self)") }
        return found == value
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
