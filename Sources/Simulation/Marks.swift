// Which rare paths a simulation went through: a fault that never happens proves nothing.

package struct Marks: Equatable, Sendable {
    package enum Mark: Int, CaseIterable, Sendable {
        case connectionBroken = 0
        case connectionMadeAnew, messageDuplicated, linkClogged
        case workerCrashed, coordinatorCrashed, crashedBetweenEffects, storeFailed
        case interrupted, paused, drained, runFailed
        case workFailed, noVerdict, malformed, workHung, loadFailed, wrongHash
        case rewound, learnerKeptOverReconnect, leaseReleased, resultLateOrTwice, workerRefused
        case moreDrawn, groupDropped, batchShed, groupRecovered, learnerRestarted
        case gradientKept, gradientHandedIn, gradientMoved, weightsChangedInFlight
    }
    private var counts = Array(repeating: 0, count: Mark.allCases.count)
    package init() {}

    package mutating func hit(_ mark: Mark, _ times: Int = 1) { counts[mark.rawValue] += times }
    package subscript(_ mark: Mark) -> Int { counts[mark.rawValue] }
    package mutating func add(_ other: Marks) {
        for index in counts.indices { counts[index] += other.counts[index] }
    }
    package var missed: [Mark] { Mark.allCases.filter { self[$0] == 0 } }
    /// Everything that was done to the cluster on purpose.
    package var faultCount: Int { Mark.allCases.prefix { $0 != .rewound }.reduce(0) { $0 + self[$1] } }
}
