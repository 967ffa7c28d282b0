// What a worker does.

package enum WorkerRole: String, Sendable, Codable, CaseIterable, Comparable {
    case rollout
    case verifier
    case learner
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
