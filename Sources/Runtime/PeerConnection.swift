// What the coordinator's loop remembers about one connection, and how much of it it takes.

import Cluster
import Rollouts
import Transport
import Wire

struct PeerConnection {
    /// Messages in a row, and per second after that. Each order sent to the peer allows two more: an honest worker
    /// answers, and repeats after a reconnection what it holds.
    static let burst = 2000
    static let perSecond = 100
    static let perOrderSent = 2

    /// Whether a message is answered with more than a sign of life.
    static func isOrder(_ message: Message) -> Bool {
        switch message {
        case .acknowledge, .cancel, .refused, .shutdown: false
        default: true
        }
    }

    var conversation: Conversation
    /// What the connection proved; nil without encryption.
    let key: PublicKey?
    var budget = RateBudget(burst: PeerConnection.burst, perSecond: PeerConnection.perSecond)
    /// It was told to go: what it still says is not heard.
    var isRefused = false
    var lastHeard: MonotonicTime
}

/// The connections of a loop: looked up by peer, never iterated where order would matter.
struct PeerConnections {
    /// Silence after which a connection is forgotten once there are many: far beyond any worker's silence limit.
    private static let forgottenAfter = Duration.seconds(600)
    private static let leastLimit = 4096

    private var connections: [PeerIdentifier: PeerConnection] = [:]
    private var limit = PeerConnections.leastLimit

    var count: Int { connections.count }

    subscript(peer: PeerIdentifier) -> PeerConnection? {
        get { connections[peer] }
        set { connections[peer] = newValue }
    }

    func peers(with key: PublicKey) -> [PeerIdentifier] {
        connections.filter { $0.value.key == key }.keys.sorted()
    }

    /// libzmq does not say when a connection ends, so those that are silent for long are taken for ended. One that was
    /// not says something, is not known, and makes its socket anew.
    mutating func prune(at now: MonotonicTime) {
        guard connections.count > limit else { return }
        connections = connections.filter { now - $0.value.lastHeard < Self.forgottenAfter }
        limit = max(Self.leastLimit, 2 * connections.count)
    }
}
