// A worker's control socket: a DEALER connected to one coordinator.

import CZeroMQ
import Glibc

/// When its connection ends, frames that arrived and were not read yet are gone (libzmq does so for `immediate`):
/// a worker that is busy may miss the coordinator's last words and only notice the silence after them.
package struct ControlClient: ClientLink, ~Copyable {
    package struct Limits: Equatable, Sendable {
        /// The largest frame, envelope included.
        package var frameBytes = (64 << 20) + 64
        package var queuedFrames = 10_000
        /// How long `send` waits for a connection or for room.
        package var sendWait = Duration.seconds(1)
        package var reconnectFirst = Duration.milliseconds(100)
        package var reconnectMost = Duration.seconds(10)
        /// How long closing waits until the coordinator has taken what was sent (the goodbye).
        package var linger = Duration.milliseconds(500)
        package init() {}
    }

    /// Why these and no others: proto/PROTOCOL.md.
    static func options(_ limits: Limits) -> [SocketOption] {
        [
            .immediate(true), .sendWaitLimit(limits.sendWait), .reconnectFirst(limits.reconnectFirst),
            .reconnectMost(limits.reconnectMost), .heartbeat(.zero),
            .frameLimitBytes(limits.frameBytes + ControlServer.frameSlackBytes), .sendLimit(limits.queuedFrames),
            .receiveLimit(limits.queuedFrames), .linger(limits.linger),
        ]
    }

    package let address: Address
    /// How often `recreate` made a new socket.
    package private(set) var recreations = 0
    /// Messages of more than one frame, dropped.
    package private(set) var malformed = 0
    private let context: Context
    private let limits: Limits
    private let curve: CurveClient?
    private(set) var socket: Socket

    /// - Parameter curve: nil connects without encryption.
    package init(
        _ context: Context, connect address: Address, curve: CurveClient? = nil, limits: Limits = Limits()
    ) throws(TransportError) {
        socket = try ControlClient.connected(context, address, curve, limits)
        self.context = context
        self.address = address
        self.curve = curve
        self.limits = limits
    }

    private static func connected(
        _ context: Context, _ address: Address, _ curve: CurveClient?, _ limits: Limits
    ) throws(TransportError) -> Socket {
        guard !address.isWildcard else {
            throw TransportError(
                .address, "connect to", "\(address)", reason: "the host stands for every interface",
                advice: "name the coordinator's host")
        }
        let socket = try Socket(context, .dealer)
        try socket.set(options(limits) + (curve?.options ?? []))
        try socket.connect(address)
        return socket
    }

    /// `.full` after the wait: no connection, or the coordinator does not read.
    package func send(_ frame: [UInt8]) -> SendResult {
        socket.sendFrame(frame, mayWait: true) == nil ? .sent : .full
    }

    package mutating func receive() -> [UInt8]? {
        while true {
            switch socket.receive(frameCount: 1) {
            case .nothing: return nil
            case .message(let frames, _): return frames[0]
            case .tooManyFrames: malformed += 1
            }
        }
    }

    package func wait(timeout: Duration?, wake: WakePipe) -> Ready {
        let ready = socket.wait(timeout: timeout, descriptors: [wake.descriptor])
        return Ready(messages: ready.socket, woken: ready.descriptors[0] && wake.drain())
    }

    package mutating func recreate() throws(TransportError) {
        // What the old socket still holds belongs to a connection that is over.
        try socket.set([.linger(.zero)])
        socket = try ControlClient.connected(context, address, curve, limits)
        recreations += 1
    }
}
