// Connections between workers and the coordinator: in order within one, in any order across them; they break, clog,
// delay and duplicate.

import Cluster
import Rollouts

/// A connection is TCP under ZeroMQ: nothing is lost while it lives, everything in flight is lost when it breaks, and a
/// socket may make a new one, under another identity, without telling its owner.
struct SimulatedNetwork: Sendable {
    struct Connection: Sendable {
        let worker: Int
        let incarnation: Int
        /// Which coordinator process it leads to.
        let epoch: UInt64
        /// What the coordinator's transport calls it.
        let peer: PeerIdentifier
        var isOpen = true
        var clogged: (up: MonotonicTime, down: MonotonicTime) = (.zero, .zero)
        var last: (up: MonotonicTime, down: MonotonicTime) = (.zero, .zero)
    }
    private(set) var connections: [Connection] = []

    mutating func connect(_ worker: Int, _ incarnation: Int, epoch: UInt64) -> Int {
        let index = connections.count
        let peer = PeerIdentifier(bytes: (0..<4).map { UInt8(truncatingIfNeeded: index >> (24 - 8 * $0)) })
        connections.append(Connection(worker: worker, incarnation: incarnation, epoch: epoch, peer: peer))
        return index
    }

    subscript(index: Int) -> Connection { connections[index] }
    func peer(_ index: Int) -> PeerIdentifier { connections[index].peer }
    func index(of peer: PeerIdentifier) -> Int { peer.bytes.reduce(0) { $0 << 8 | Int($1) } }

    mutating func close(_ index: Int) { connections[index].isOpen = false }
    mutating func closeAll() {
        for index in connections.indices { connections[index].isOpen = false }
    }

    /// Holds back one or both directions until a time.
    mutating func clog(_ index: Int, up: Bool, down: Bool, until time: MonotonicTime) {
        if up { connections[index].clogged.up = max(connections[index].clogged.up, time) }
        if down { connections[index].clogged.down = max(connections[index].clogged.down, time) }
    }
    mutating func unclogAll(at now: MonotonicTime) {
        for index in connections.indices {
            connections[index].clogged = (
                min(connections[index].clogged.up, now), min(connections[index].clogged.down, now)
            )
        }
    }

    /// When a message sent now arrives: after all sent before it on this connection and direction.
    mutating func arrival(on index: Int, isUp: Bool, delay: Duration, at now: MonotonicTime) -> MonotonicTime {
        let clog = isUp ? connections[index].clogged.up : connections[index].clogged.down
        let last = isUp ? connections[index].last.up : connections[index].last.down
        let time = max(max(now, clog) + delay, last)
        if isUp { connections[index].last.up = time } else { connections[index].last.down = time }
        return time
    }
}
