// Who connects and never gets as far as proving a key?

import Rollouts

/// libzmq ends such connections by itself and says so only to socket monitors, which must not be attached (PROTOCOL.md,
/// section 3). But the kernel's table shows who came, `EndedConnections` who came and went between two looks at it, and
/// the gatekeeper is asked about everybody who proved a key: the difference is the strangers.
package struct StrangerWatch: Sendable {
    /// Longer than a handshake may take (10 s), and than one may wait for its turn when thousands come at once.
    package static let patience = Duration.seconds(30)

    private var known: Set<TCPConnection>
    /// At the look before: one may leave the table a moment before its end is told of.
    private var knownBefore: Set<TCPConnection> = []
    /// When connections without a question were first seen, by address, the oldest first.
    private var unexplained: [String: [MonotonicTime]] = [:]

    /// - Parameter connections: those that are there before anybody listens: what a predecessor left.
    package init(after connections: Set<TCPConnection>) { known = connections }

    /// - Parameters:
    ///   - connections: all there are, looked up after `asked` was taken: who is asked about has come before; and then
    ///     those that have ended since the last look: an end that is told of later belongs to one that was there.
    ///   - asked: how many questions about keys there were since the last look, by address.
    /// - Returns: addresses, ascending, and how many of their connections ended without a key.
    package mutating func look(
        _ connections: Set<TCPConnection>, asked: [String: Int], at now: MonotonicTime
    ) -> [(address: String, count: Int)] {
        for connection in connections where !known.contains(connection) && !knownBefore.contains(connection) {
            unexplained[connection.remoteAddress, default: []].append(now)
        }
        knownBefore = known
        known = connections
        for (address, count) in asked {
            guard let times = unexplained[address] else { continue }
            unexplained[address] = Array(times.dropFirst(count))
        }
        var strangers: [(address: String, count: Int)] = []
        for (address, times) in unexplained {
            let late = times.prefix { now - $0 >= Self.patience }.count
            if late > 0 { strangers.append((address, late)) }
            let rest = Array(times.dropFirst(late))
            unexplained[address] = rest.isEmpty ? nil : rest
        }
        return strangers.sorted { $0.address < $1.address }
    }
}
