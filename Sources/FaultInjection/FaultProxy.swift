// Between workers and their coordinator: passes messages on, or does not.

import Rollouts
import Transport

/// Listens where workers connect, and makes a connection of its own to the coordinator for each of theirs. Only for
/// connections without encryption: nobody can do this to the others. No thread: its owner lets it `work`.
package final class FaultProxy {
    /// Silence after which a connection is over: libzmq does not say when one ends.
    private static let longestSilence = Duration.seconds(60)
    /// How long a frame waits for the coordinator: as long as a worker's own socket lets it.
    private static let longestWait = Duration.seconds(1)

    /// A class, because a socket cannot be in an array.
    private final class Relay {
        let peer: PeerIdentifier
        var client: ControlClient
        var up = FrameHop()
        var down = FrameHop()
        /// Frames on their way up, in order.
        private var leaving: [(frame: [UInt8], until: MonotonicTime)] = []
        var lastHeard: MonotonicTime

        init(_ peer: PeerIdentifier, _ client: consuming ControlClient, at now: MonotonicTime) {
            self.peer = peer
            self.client = client
            lastHeard = now
        }

        func sendUp(_ frames: [[UInt8]], at now: MonotonicTime) {
            leaving += frames.map { ($0, now + FaultProxy.longestWait) }
            while let first = leaving.first {
                if client.send(first.frame) == .sent || first.until <= now { leaving.removeFirst() } else { return }
            }
        }
    }

    private let context: Context
    private let coordinator: Address
    private let front: ControlServer
    private let wake: WakePipe
    private var relays: [Relay] = []
    private var weather: FrameWeather
    /// What happened so far.
    package private(set) var counts = FaultCounts()
    /// Everything passes; what is delayed still arrives.
    package var isFair = false

    package init(
        listen: Address, coordinator: Address, weather: FrameWeather, wake: WakePipe
    ) throws(TransportError) {
        context = try Context()
        var limits = ControlServer.Limits()
        limits.linger = .zero
        front = try ControlServer(context, listen: [listen], limits: limits)
        self.coordinator = coordinator
        self.weather = weather
        self.wake = wake
    }

    /// Passes on what has arrived and what is due, waiting for a worker's frame at most so long. The coordinator's
    /// connections cannot be waited for together with it: they are looked at once a call.
    package func work(waitingAtMost wait: Duration, now: () -> MonotonicTime) {
        _ = front.wait(timeout: wait, wake: wake)
        for _ in 0..<256 {
            guard let arrival = front.receive() else { break }
            if case .frame(let frame, let peer, _) = arrival { takeUp(frame, from: peer, at: now()) }
        }
        let time = now()
        for relay in relays {
            while let frame = relay.client.receive() {
                send(relay.down.pass(frame, fate(), at: time), downTo: relay)
            }
            relay.sendUp(relay.up.takeDue(at: time), at: time)
            send(relay.down.takeDue(at: time), downTo: relay)
        }
        relays.removeAll { time - $0.lastHeard > Self.longestSilence }
    }

    private func takeUp(_ frame: [UInt8], from peer: PeerIdentifier, at now: MonotonicTime) {
        guard let relay = relays.first(where: { $0.peer == peer }) ?? connect(peer, at: now) else { return }
        relay.lastHeard = now
        relay.sendUp(relay.up.pass(frame, fate(), at: now), at: now)
    }

    private func connect(_ peer: PeerIdentifier, at now: MonotonicTime) -> Relay? {
        var limits = ControlClient.Limits()
        limits.sendWait = .zero
        limits.reconnectMost = .milliseconds(200)
        limits.linger = .zero
        // Where no socket can be made, the worker hears nothing and tries again.
        guard let client = try? ControlClient(context, connect: coordinator, limits: limits) else { return nil }
        let relay = Relay(peer, client, at: now)
        relays.append(relay)
        return relay
    }

    private func send(_ frames: [[UInt8]], downTo relay: Relay) {
        for frame in frames where front.send(frame, to: relay.peer) == .unreachable { relay.lastHeard = .zero }
    }

    private func fate() -> FrameFate {
        guard !isFair else { return .passes }
        let fate = weather.next()
        if let kind = fate.kind { counts.add(kind) }
        return fate
    }
}
