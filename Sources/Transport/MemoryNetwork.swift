// The same links without sockets: real loops in a test, in one process.

import Rollouts
import Synchronization

/// One coordinator and its workers. Keeps the order of each connection, as ZeroMQ does; delivers at once.
package final class MemoryNetwork: Sendable {
    /// What one link has not read yet, and the descriptor its loop waits on.
    final class Inbox<Item: Sendable>: Sendable {
        let ready: WakePipe
        private let items = Mutex<[Item]>([])

        init() throws(TransportError) { ready = try WakePipe() }

        /// - Returns: false when there is no room.
        func append(_ item: Item, limit: Int) -> Bool {
            items.withLock {
                guard $0.count < limit else { return false }
                $0.append(item)
                ready.wake()
                return true
            }
        }

        func removeFirst() -> Item? {
            items.withLock {
                let first = $0.isEmpty ? nil : $0.removeFirst()
                // Under the lock, so that a wake for a later item is not taken with it.
                if $0.isEmpty { ready.drain() }
                return first
            }
        }

        func wait(timeout: Duration?, wake: WakePipe) -> Ready {
            let ready = WakePipe.wait(timeout: timeout, descriptors: [ready.descriptor, wake.descriptor])
            return Ready(messages: ready[0], woken: ready[1] && wake.drain())
        }
    }

    private struct State {
        var server: Inbox<Arrival>?
        var clients: [PeerIdentifier: Inbox<[UInt8]>] = [:]
        /// Raised by each new server: a client that knew the one before is a new peer to it.
        var generation = 0
        var lastPeer: UInt32 = 0
    }

    /// Frames that one side may leave unread.
    let queuedFrames: Int
    private let state = Mutex(State())

    package init(queuedFrames: Int = 10_000) { self.queuedFrames = queuedFrames }

    /// Replaces the server before, as a restarted coordinator does: it knows no peer, and unread frames are gone.
    package func server() throws(TransportError) -> MemoryServerLink {
        let inbox = try Inbox<Arrival>()
        state.withLock {
            $0.server = inbox
            $0.clients = [:]
            $0.generation += 1
        }
        return MemoryServerLink(network: self, inbox: inbox)
    }

    package func client() throws(TransportError) -> MemoryClientLink {
        MemoryClientLink(network: self, inbox: try Inbox<[UInt8]>())
    }

    /// Cuts a peer off, as a lost connection does: sending to it says `.unreachable`, and what it sends next comes
    /// from a new peer.
    package func disconnect(_ peer: PeerIdentifier) {
        state.withLock { _ = $0.clients.removeValue(forKey: peer) }
    }

    fileprivate func close(server inbox: Inbox<Arrival>) {
        state.withLock {
            guard $0.server === inbox else { return }
            $0.server = nil
            $0.clients = [:]
        }
    }

    fileprivate func send(_ frame: [UInt8], to peer: PeerIdentifier) -> SendResult {
        guard let inbox = state.withLock({ $0.clients[peer] }) else { return .unreachable }
        return inbox.append(frame, limit: queuedFrames) ? .sent : .full
    }

    /// - Parameter peer: what the client was called so far; replaced where the server does not know it.
    fileprivate func send(
        _ frame: [UInt8], from peer: inout PeerIdentifier?, _ inbox: Inbox<[UInt8]>
    ) -> SendResult {
        let current = peer
        let (server, name) = state.withLock { state -> (Inbox<Arrival>?, PeerIdentifier?) in
            guard let server = state.server else { return (nil, nil) }
            if let current, state.clients[current] === inbox { return (server, current) }
            state.lastPeer += 1
            let number = state.lastPeer.bigEndian
            // As libzmq's ROUTER names peers: a zero byte and four more.
            let name = PeerIdentifier(bytes: [0] + withUnsafeBytes(of: number) { Array($0) })
            state.clients[name] = inbox
            return (server, name)
        }
        guard let server, let name else { return .full }
        peer = name
        return server.append(.frame(frame, from: name), limit: queuedFrames) ? .sent : .full
    }
}

package struct MemoryServerLink: ServerLink, ~Copyable {
    fileprivate let network: MemoryNetwork
    fileprivate let inbox: MemoryNetwork.Inbox<Arrival>

    deinit { network.close(server: inbox) }

    package func send(_ frame: [UInt8], to peer: PeerIdentifier) -> SendResult { network.send(frame, to: peer) }
    package func receive() -> Arrival? { inbox.removeFirst() }
    package func wait(timeout: Duration?, wake: WakePipe) -> Ready { inbox.wait(timeout: timeout, wake: wake) }
}

package struct MemoryClientLink: ClientLink, ~Copyable {
    fileprivate let network: MemoryNetwork
    fileprivate var inbox: MemoryNetwork.Inbox<[UInt8]>
    fileprivate var peer: PeerIdentifier?

    fileprivate init(network: MemoryNetwork, inbox: MemoryNetwork.Inbox<[UInt8]>) {
        self.network = network
        self.inbox = inbox
    }

    deinit { if let peer { network.disconnect(peer) } }

    package mutating func send(_ frame: [UInt8]) -> SendResult { network.send(frame, from: &peer, inbox) }
    package func receive() -> [UInt8]? { inbox.removeFirst() }
    package func wait(timeout: Duration?, wake: WakePipe) -> Ready { inbox.wait(timeout: timeout, wake: wake) }

    package mutating func recreate() throws(TransportError) {
        if let peer { network.disconnect(peer) }
        peer = nil
        inbox = try MemoryNetwork.Inbox<[UInt8]>()
    }
}
