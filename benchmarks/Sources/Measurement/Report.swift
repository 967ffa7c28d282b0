// What a benchmark has found, for people and for programs.

import Foundation

public struct Report: Sendable {
    public var benchmark: String
    /// What the figures depend on: machine, commit, settings.
    public var circumstances: [(name: String, value: String)]
    public var findings: [Finding]

    public init(benchmark: String, circumstances: [(name: String, value: String)], findings: [Finding]) {
        self.benchmark = benchmark
        self.circumstances = circumstances
        self.findings = findings
    }

    /// Medians with lowest and highest; one line for each finding and peer.
    public var text: String {
        var table = TextTable(["what", "Rookery", "unit", "of ceiling", "peer", "peer's", "better by"])
        for finding in findings {
            let own = [
                finding.name, spreadText(finding.value), finding.unit, finding.ceilingShare.map(shareText) ?? "",
            ]
            if finding.peers.isEmpty { table.add(own + ["", "", ""]) }
            for (index, peer) in finding.peers.enumerated() {
                table.add(
                    (index == 0 ? own : ["", "", "", ""])
                        + [peer.peer, spreadText(peer.value), finding.ratio(to: peer).map(ratioText) ?? ""])
            }
        }
        let heading = circumstances.map { "\($0.name): \($0.value)" }.joined(separator: "\n")
        return heading.isEmpty ? table.text : heading + "\n\n" + table.text
    }

    /// One line. A number that does not exist is null.
    public func json() throws -> String {
        let document = Document(
            benchmark: benchmark,
            circumstances: Dictionary(circumstances.map { ($0.name, $0.value) }) { first, _ in first },
            cases: findings.map(Case.init))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(document), as: UTF8.self)
    }

    private struct Document: Encodable {
        var benchmark: String
        var circumstances: [String: String]
        var cases: [Case]
    }

    private struct Case: Encodable {
        let finding: Finding

        private enum Key: String, CodingKey {
            case name, value, unit, min, max, spread, peer, ratio
            case peerValue = "peer_value"
            case ceilingShare = "ceiling_share"
            case otherPeers = "other_peers"
        }

        init(_ finding: Finding) { self.finding = finding }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(finding.name, forKey: .name)
            try container.encode(finding.unit, forKey: .unit)
            try container.encode(finding.value.median, forKey: .value)
            try container.encode(finding.value.low, forKey: .min)
            try container.encode(finding.value.high, forKey: .max)
            try container.encode(finding.value.relativeWidth, forKey: .spread)
            try container.encode(finding.ceilingShare, forKey: .ceilingShare)
            let first = finding.peers.first
            try container.encode(first?.peer, forKey: .peer)
            try container.encode(first?.value.median, forKey: .peerValue)
            try container.encode(first.flatMap { finding.ratio(to: $0) }, forKey: .ratio)
            try container.encode(finding.peers.dropFirst().map { OtherPeer(finding, $0) }, forKey: .otherPeers)
        }
    }

    private struct OtherPeer: Encodable {
        let finding: Finding
        let peer: PeerValue

        private enum Key: String, CodingKey {
            case peer, ratio, spread
            case peerValue = "peer_value"
        }

        init(_ finding: Finding, _ peer: PeerValue) {
            self.finding = finding
            self.peer = peer
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(peer.peer, forKey: .peer)
            try container.encode(peer.value.median, forKey: .peerValue)
            try container.encode(peer.value.relativeWidth, forKey: .spread)
            try container.encode(finding.ratio(to: peer), forKey: .ratio)
        }
    }
}
