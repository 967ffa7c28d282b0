// What the coordinator's and the worker's loops need of a transport: ZeroMQ's and memory's are interchangeable.

import Rollouts

package enum SendResult: Equatable, Sendable {
    case sent
    /// The transport knows no such peer (any more).
    case unreachable
    /// Too much is queued for the peer, or there is no connection; nothing was sent.
    case full
}

package enum Arrival: Equatable, Sendable {
    /// - Parameter key: what the connection proved to have the secret of; nil for one without encryption (this host's).
    case frame([UInt8], from: PeerIdentifier, key: PublicKey? = nil)
    /// A message that is not exactly one frame; it was dropped. Count a strike.
    case malformed(PeerIdentifier)
}

package struct Ready: Equatable, Sendable {
    /// `receive` has something.
    package var messages: Bool
    /// The wake pipe was written to; `wait` has emptied it.
    package var woken: Bool
}

/// The coordinator's side: many peers, named by the transport. One thread makes, uses and drops it.
package protocol ServerLink: ~Copyable {
    /// Never waits.
    mutating func send(_ frame: [UInt8], to peer: PeerIdentifier) -> SendResult
    /// Never waits; nil when nothing has arrived.
    mutating func receive() -> Arrival?
    /// - Parameter timeout: nil waits for ever. May return early with nothing ready.
    mutating func wait(timeout: Duration?, wake: WakePipe) -> Ready
}

/// A worker's side: one peer, the coordinator. One thread makes, uses and drops it.
package protocol ClientLink: ~Copyable {
    /// May wait a bounded time for a connection.
    mutating func send(_ frame: [UInt8]) -> SendResult
    /// Never waits; nil when nothing has arrived.
    mutating func receive() -> [UInt8]?
    /// - Parameter timeout: nil waits for ever. May return early with nothing ready.
    mutating func wait(timeout: Duration?, wake: WakePipe) -> Ready
    /// Drops the connection with all it holds and makes a new one, which the coordinator sees as a new peer.
    /// The answer to silence: a socket that once met garbage may never reconnect by itself.
    mutating func recreate() throws(TransportError)
}
