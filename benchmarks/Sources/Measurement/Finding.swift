// One measured quantity: ours, the peers' and the ceiling.

/// Which way a quantity should go.
public enum Direction: Sendable {
    case higherIsBetter, lowerIsBetter
    /// A fact without a better side: a length, a count.
    case neither
}

/// What a peer reached in the same run.
public struct PeerValue: Sendable, Equatable {
    public let peer: String
    public let value: Spread
    public init(peer: String, value: Spread) {
        self.peer = peer
        self.value = value
    }
}

public struct Finding: Sendable {
    public let name: String
    public let unit: String
    public let direction: Direction
    public let value: Spread
    /// The one to compare with first.
    public let peers: [PeerValue]
    /// What the machine's arithmetic or memory would allow, in `unit`; nil where there is no such limit.
    public let ceiling: Double?

    public init(
        _ name: String, _ value: Spread, unit: String, _ direction: Direction = .higherIsBetter,
        peers: [PeerValue] = [], ceiling: Double? = nil
    ) {
        self.name = name
        self.value = value
        self.unit = unit
        self.direction = direction
        self.peers = peers
        self.ceiling = ceiling
    }

    /// How many times better than the peer we are, medians: above 1 is in our favor. nil without a better side.
    public func ratio(to peer: PeerValue) -> Double? {
        switch direction {
        case .higherIsBetter: Finding.quotient(value.median, peer.value.median)
        case .lowerIsBetter: Finding.quotient(peer.value.median, value.median)
        case .neither: nil
        }
    }

    /// Which share of the possible was reached, by the median.
    public var ceilingShare: Double? {
        guard let ceiling else { return nil }
        switch direction {
        case .higherIsBetter: return Finding.quotient(value.median, ceiling)
        case .lowerIsBetter: return Finding.quotient(ceiling, value.median)
        case .neither: return nil
        }
    }

    private static func quotient(_ numerator: Double, _ denominator: Double) -> Double? {
        let result = numerator / denominator
        return result.isFinite ? result : nil
    }
}
