// The coordinator's control socket: a ROUTER that listens on several addresses.

import CZeroMQ
import Glibc
import Rollouts

/// Peers are named by the socket (five bytes, new for each connection), never by themselves.
package struct ControlServer: ServerLink, ~Copyable {
    package struct Limits: Equatable, Sendable {
        /// The largest frame, envelope included.
        package var frameBytes = (64 << 20) + 64
        /// Frames queued for one peer before `.full`; a training batch is sent in one burst.
        package var queuedFrames = 10_000
        package var handshake = Duration.seconds(10)
        /// How long closing waits until peers have taken what was sent to them (the shutdown message).
        package var linger = Duration.milliseconds(500)
        package init() {}
    }

    /// CURVE counts the encrypted frame: 64 bytes of slack let the largest payload pass either way.
    static let frameSlackBytes = 64

    /// Why these and no others: proto/PROTOCOL.md.
    static func options(_ limits: Limits) -> [SocketOption] {
        [
            .mandatory(true), .handover(false), .heartbeat(.zero),
            .frameLimitBytes(limits.frameBytes + frameSlackBytes), .handshakeLimit(limits.handshake), .backlog(4096),
            .sendLimit(limits.queuedFrames), .receiveLimit(limits.queuedFrames), .linger(limits.linger),
        ]
    }

    let socket: Socket
    /// As bound: with the ports that were taken. Those without encryption first.
    package let addresses: [Address]
    private let allowed: AllowList?

    /// - Parameters:
    ///   - listen: without encryption: for this host's processes.
    ///   - curve: with it. A gatekeeper that knows its domain must be there already.
    package init(
        _ context: Context, listen: [Address], curve: CurveListener? = nil, limits: Limits = Limits()
    ) throws(TransportError) {
        let socket = try Socket(context, .router)
        try socket.set(ControlServer.options(limits))
        var bound: [Address] = []
        for address in listen { bound.append(try socket.bind(address)) }
        if let curve {
            // An address is served under the options that the socket has when it is bound.
            try socket.set(curve.options)
            for address in curve.addresses { bound.append(try socket.bind(address)) }
        }
        self.socket = socket
        addresses = bound
        allowed = curve?.allowed
    }

    package func send(_ frame: [UInt8], to peer: PeerIdentifier) -> SendResult {
        if let code = socket.sendFrame(peer.bytes, more: true) { return code == EHOSTUNREACH ? .unreachable : .full }
        // The identity reserved the room: the second frame goes the same way or, if the peer left in between, nowhere.
        let code = socket.sendFrame(frame)
        return code == nil ? .sent : .unreachable
    }

    package func receive() -> Arrival? {
        while true {
            switch socket.receive(frameCount: 2) {
            case .nothing: return nil
            case .message(let frames, let key):
                // A connection outlives the admission of its key: what it still says is not heard.
                if let key, let allowed, !allowed.contains(key) { continue }
                let peer = PeerIdentifier(bytes: frames[0])
                return frames.count == 2 ? .frame(frames[1], from: peer, key: key) : .malformed(peer)
            case .tooManyFrames(let first): return .malformed(PeerIdentifier(bytes: first))
            }
        }
    }

    package func wait(timeout: Duration?, wake: WakePipe) -> Ready {
        let ready = socket.wait(timeout: timeout, descriptors: [wake.descriptor])
        return Ready(messages: ready.socket, woken: ready.descriptors[0] && wake.drain())
    }
}
