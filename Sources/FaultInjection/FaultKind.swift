// What can be done to a running cluster.

package enum FaultKind: String, CaseIterable, Sendable, Hashable {
    // Processes.
    case killRollout = "kill-rollout"
    case killVerifier = "kill-verifier"
    case killLearner = "kill-learner"
    case stopRollout = "stop-rollout"
    case stopVerifier = "stop-verifier"
    case stopLearner = "stop-learner"
    case killCoordinator = "kill-coordinator"
    case join
    case leave
    // Messages.
    case drop
    case delay
    case duplicate
    case replay
    case reorder
    case corrupt
    // Networks: only between namespaces.
    case partition

    package static let ofProcesses: [FaultKind] = [
        .killRollout, .killVerifier, .killLearner, .stopRollout, .stopVerifier, .stopLearner, .killCoordinator, .join,
        .leave,
    ]
    package static let ofMessages: [FaultKind] = [.drop, .delay, .duplicate, .replay, .reorder, .corrupt]

    /// Names that stand for several kinds.
    package static let families: [(name: String, kinds: [FaultKind])] = [
        ("all", ofProcesses + ofMessages), ("processes", ofProcesses), ("messages", ofMessages),
        ("kill", [.killRollout, .killVerifier, .killLearner, .killCoordinator]),
        ("stop", [.stopRollout, .stopVerifier, .stopLearner]),
    ]

    /// `kill,drop,join`: in the order of `allCases`, each once.
    package static func parse(_ list: String) throws(FaultInjectionError) -> [FaultKind] {
        var found: [FaultKind] = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            if let family = families.first(where: { $0.name == part }) {
                found += family.kinds
            } else if let kind = FaultKind(rawValue: String(part)), kind != .partition {
                found.append(kind)
            } else {
                let names = families.map(\.name) + (ofProcesses + ofMessages).map(\.rawValue)
                throw FaultInjectionError("--faults: `\(part)` is none of \(names.joined(separator: ", "))")
            }
        }
        return allCases.filter { found.contains($0) }
    }
}

/// How often what was done: counted when it has happened, not when it was planned.
package struct FaultCounts: Equatable, Sendable, CustomStringConvertible {
    private var counts: [FaultKind: Int] = [:]

    package init() {}
    package subscript(kind: FaultKind) -> Int { counts[kind, default: 0] }
    package mutating func add(_ kind: FaultKind, _ count: Int = 1) { counts[kind, default: 0] += count }
    package var total: Int { FaultKind.allCases.reduce(0) { $0 + self[$1] } }

    package mutating func add(_ others: FaultCounts) {
        for kind in FaultKind.allCases where others[kind] > 0 { add(kind, others[kind]) }
    }

    package var description: String {
        FaultKind.allCases.filter { self[$0] > 0 }.map { "\($0.rawValue) \(self[$0])" }.joined(separator: ", ")
    }
}

/// One line that says what was wrong and what to do.
package struct FaultInjectionError: Error, CustomStringConvertible, Equatable {
    package let description: String
    package init(_ description: String) { self.description = description }
}
