// Which units of work are open, and which worker holds which of them until when.

import Rollouts

struct Lease: Equatable, Sendable {
    let identifier: LeaseIdentifier
    let worker: String
    var unitsDone: UInt64 = 0
    var deadline: MonotonicTime
}

/// Makes lease identifiers that never repeat within a run: the number of earlier starts, then a count.
struct LeaseCounter: Equatable, Sendable {
    private let epoch: UInt64
    private var count: UInt64 = 0
    init(epoch: UInt64) {
        precondition(epoch < 1 << 23, "lease epoch \(epoch) does not fit 23 bits")
        self.epoch = epoch
    }
    mutating func next() -> LeaseIdentifier {
        count += 1
        return LeaseIdentifier(epoch << 40 | count)
    }
}

/// Units of one kind of work, kept in the order in which they are given out.
///
/// A unit is: waiting → held → waiting (lease lost) → … → removed when its result is accepted. It has at most one
/// holder. Former leases are remembered, so that a late result can still close an open unit.
struct LeaseBook<Work: Equatable & Sendable>: Equatable, Sendable {
    private static var formerLimit: Int { 16 }

    struct Former: Equatable, Sendable {
        let identifier: LeaseIdentifier
        let worker: String
    }

    struct Unit: Equatable, Sendable {
        let key: GroupKey
        var work: Work
        var holder: Lease?
        var former: [Former] = []
        /// Attempts that ended in a failure the worker reported.
        var failureCount = 0
        /// Leases lost with their worker or for want of progress.
        var lossCount = 0
        /// Not given out before this.
        var notBefore = MonotonicTime.zero
        /// Workers that failed here: others are preferred.
        var avoided: [String] = []
        /// A spot check of the group with this key, which has an answer already.
        let isCheck: Bool
        /// Accounts of workers that must not have it.
        var excluded: [String] = []

        init(key: GroupKey, work: Work, isCheck: Bool = false) {
            self.key = key
            self.work = work
            self.isCheck = isCheck
        }
        func isWaiting(at now: MonotonicTime) -> Bool { holder == nil && notBefore <= now }
    }

    enum Place: Equatable {
        case live(Int)
        /// The lease was lost, but its unit is still open.
        case former(Int)
        case unknown
    }

    private struct Name: Hashable, Sendable {
        let key: GroupKey
        let isCheck: Bool
    }

    private(set) var units: [Unit] = []
    /// The holders' leases in the order of `units`, for looking one up: thousands of units are many cache lines each.
    private var live: [LeaseIdentifier] = []
    /// Never given: see `LeaseCounter`.
    private static var noLease: LeaseIdentifier { LeaseIdentifier(0) }
    /// Which units there are; looked up, never iterated.
    private var open: Set<Name> = []
    /// Live leases per worker; looked up, never iterated.
    private var heldCounts: [String: Int] = [:]

    func heldCount(of worker: String) -> Int { heldCounts[worker] ?? 0 }
    func index(of key: GroupKey, isCheck: Bool = false) -> Int? {
        guard open.contains(Name(key: key, isCheck: isCheck)) else { return nil }
        return units.firstIndex { $0.key == key && $0.isCheck == isCheck }
    }
    var holders: [Lease] { units.compactMap(\.holder) }

    func place(of lease: LeaseIdentifier) -> Place {
        guard lease != Self.noLease else { return .unknown }
        if let index = live.firstIndex(of: lease) { return .live(index) }
        for index in units.indices where units[index].former.contains(where: { $0.identifier == lease }) {
            return .former(index)
        }
        return .unknown
    }

    /// Whom an open unit's live or former lease was given to.
    func owner(of lease: LeaseIdentifier) -> String? {
        switch place(of: lease) {
        case .live(let index): units[index].holder?.worker
        case .former(let index): units[index].former.first { $0.identifier == lease }?.worker
        case .unknown: nil
        }
    }

    mutating func insert(_ unit: Unit, before isLater: (Unit) -> Bool) {
        precondition(index(of: unit.key, isCheck: unit.isCheck) == nil, "unit \(unit.key) is already open")
        // Those that are later are the last ones; mostly there are none.
        var place = units.count
        while place > 0, isLater(units[place - 1]) { place -= 1 }
        units.insert(unit, at: place)
        live.insert(Self.noLease, at: place)
        open.insert(Name(key: unit.key, isCheck: unit.isCheck))
    }

    mutating func grant(_ index: Int, _ lease: Lease) {
        precondition(units[index].holder == nil, "unit \(units[index].key) has a holder")
        units[index].holder = lease
        live[index] = lease.identifier
        heldCounts[lease.worker, default: 0] += 1
    }

    /// Takes the unit away from its holder; the unit stays open.
    @discardableResult
    mutating func release(_ index: Int) -> Lease? {
        guard let lease = units[index].holder else { return nil }
        units[index].holder = nil
        live[index] = Self.noLease
        units[index].former.append(Former(identifier: lease.identifier, worker: lease.worker))
        if units[index].former.count > Self.formerLimit { units[index].former.removeFirst() }
        discount(lease.worker)
        return lease
    }

    /// The unit starts anew: answers under its former leases are of no use any more.
    mutating func forgetFormerLeases(_ index: Int) { units[index].former = [] }

    mutating func remove(_ index: Int) -> Unit {
        let unit = units.remove(at: index)
        live.remove(at: index)
        open.remove(Name(key: unit.key, isCheck: unit.isCheck))
        if let lease = unit.holder { discount(lease.worker) }
        return unit
    }

    mutating func change(_ index: Int, _ change: (inout Unit) -> Void) {
        let holder = units[index].holder
        change(&units[index])
        precondition(units[index].holder == holder, "holders change through grant and release only")
    }

    /// - Returns: whether this is progress on a live lease of this worker.
    mutating func progress(of worker: String, _ report: LeaseProgress) -> Bool {
        guard report.lease != Self.noLease, let index = live.firstIndex(of: report.lease),
            let holder = units[index].holder, holder.worker == worker, report.unitsDone > holder.unitsDone
        else { return false }
        units[index].holder?.unitsDone = report.unitsDone
        return true
    }

    /// A worker computes one thing at a time, so progress on one of its leases keeps all of them.
    mutating func extend(_ worker: String, to deadline: MonotonicTime) {
        guard heldCount(of: worker) > 0 else { return }
        for index in units.indices where units[index].holder?.worker == worker {
            units[index].holder?.deadline = deadline
        }
    }

    func indices(heldBy worker: String) -> [Int] {
        heldCount(of: worker) == 0 ? [] : units.indices.filter { units[$0].holder?.worker == worker }
    }

    func expired(at now: MonotonicTime) -> [Int] {
        units.indices.filter { index in units[index].holder.map { $0.deadline <= now } ?? false }
    }

    /// The next time at which something here changes by itself, after `now`.
    func nextDeadline(after now: MonotonicTime) -> MonotonicTime? {
        var next: MonotonicTime?
        for index in units.indices {
            let time = units[index].holder?.deadline ?? units[index].notBefore
            if time > now { next = next.map { min($0, time) } ?? time }
        }
        return next
    }

    private mutating func discount(_ worker: String) {
        let count = heldCount(of: worker) - 1
        precondition(count >= 0, "worker \(worker) holds fewer leases than it gives back")
        heldCounts[worker] = count == 0 ? nil : count
    }
}
