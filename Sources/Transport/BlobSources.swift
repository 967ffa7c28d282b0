// From whom may a blob be fetched? So that many who want the same do not all wait for the head's uplink.

import Rollouts

/// Where to fetch from.
package struct BlobPeer: Hashable, Sendable {
    package var address: Address
    /// nil without encryption.
    package var key: PublicKey?
    package init(address: Address, key: PublicKey?) {
        self.address = address
        self.key = key
    }
}

/// Workers that serve what they have, and who fetches what from whom: a tree in which the head and each relay have a
/// few children at a time. Whoever has fetched a blob and serves it is a source for the next ones.
///
///     asked ──▶ a relay that has it and is free ──▶ (failed) ──▶ the head, and a strike against the relay
///          ├──▶ the head, while it is free
///          └──▶ later: ask again
struct BlobSources: Equatable {
    enum Answer: Equatable {
        case here
        case at(BlobPeer)
        case later
    }

    /// Children of the head, of a relay, for one blob at a time.
    static let fanOut = 4
    /// A relay says once a second that it serves.
    static let relaySilence = Duration.seconds(5)
    /// A child that asks for nothing for so long is taken for gone.
    static let childSilence = Duration.seconds(10)
    /// How long a child of a relay, whose transfer is not seen here, may take before the relay is given another one.
    static let relayedTime = Duration.seconds(60)
    /// A relay that failed so often is not named again.
    static let strikeLimit = 2
    static let relayLimit = 4096
    static let digestLimit = 32

    private struct Relay: Equatable {
        var peer: BlobPeer
        var digests: [Digest]
        var heard: MonotonicTime
    }

    private struct Child: Equatable {
        var digest: Digest
        var peer: PeerIdentifier
        /// nil: the head's.
        var relay: Address?
        var until: MonotonicTime
    }

    /// In the order in which they were first heard of.
    private var relays: [Relay] = []
    private var children: [Child] = []
    private var strikes: [BlobPeer: Int] = [:]

    /// A worker serves these blobs.
    mutating func serve(_ peer: BlobPeer, _ digests: [Digest], at now: MonotonicTime) {
        if let index = relays.firstIndex(where: { $0.peer == peer }) {
            relays[index].digests = Array(digests.prefix(Self.digestLimit))
            relays[index].heard = now
            return
        }
        forget(at: now)
        guard relays.count < Self.relayLimit else { return }
        relays.append(Relay(peer: peer, digests: Array(digests.prefix(Self.digestLimit)), heard: now))
    }

    /// - Parameter failed: who was named before and did not do.
    mutating func source(
        of digest: Digest, for peer: PeerIdentifier, failed: Address?, at now: MonotonicTime
    ) -> Answer {
        forget(at: now)
        // Who asks again is done with what it was told to fetch from a relay.
        let named = children.first { $0.peer == peer && $0.relay != nil && $0.relay == failed }?.relay
        children.removeAll { $0.peer == peer && ($0.relay != nil || $0.digest == digest) }
        if let failed {
            // Only who was sent there can say so.
            if named != nil, strikes.count < Self.relayLimit,
                let relay = relays.first(where: { $0.peer.address == failed })
            {
                strikes[relay.peer, default: 0] += 1
            }
            children.append(Child(digest: digest, peer: peer, relay: nil, until: now + Self.childSilence))
            return .here
        }
        var best: (relay: BlobPeer, load: Int)?
        for relay in relays where relay.digests.contains(digest) && strikes[relay.peer, default: 0] < Self.strikeLimit {
            let load = load(of: relay.peer.address, digest)
            if load < Self.fanOut, best.map({ load < $0.load }) ?? true { best = (relay.peer, load) }
        }
        if let best {
            children.append(
                Child(digest: digest, peer: peer, relay: best.relay.address, until: now + Self.relayedTime))
            return .at(best.relay)
        }
        guard load(of: nil, digest) < Self.fanOut else { return .later }
        children.append(Child(digest: digest, peer: peer, relay: nil, until: now + Self.childSilence))
        return .here
    }

    /// The head sent a part of a blob.
    mutating func sent(_ digest: Digest, to peer: PeerIdentifier, isLast: Bool, at now: MonotonicTime) {
        guard let index = children.firstIndex(where: { $0.peer == peer && $0.digest == digest && $0.relay == nil })
        else { return }
        if isLast { children.remove(at: index) } else { children[index].until = now + Self.childSilence }
    }

    private func load(of relay: Address?, _ digest: Digest) -> Int {
        children.reduce(0) { $0 + ($1.relay == relay && $1.digest == digest ? 1 : 0) }
    }

    private mutating func forget(at now: MonotonicTime) {
        children.removeAll { $0.until <= now }
        relays.removeAll { now - $0.heard > Self.relaySilence }
    }
}
