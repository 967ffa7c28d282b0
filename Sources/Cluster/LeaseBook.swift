// Which units of work are open, and which worker holds which of them until when.

import Rollouts

struct Lease: Equatable, Sendable {
    let identifier: LeaseIdentifier
    let worker: String
    /// How long it lasts without progress.
    let length: Duration
    var unitsDone: UInt64 = 0
    private(set) var deadline: MonotonicTime

    init(identifier: LeaseIdentifier, worker: String, length: Duration, at now: MonotonicTime) {
        self.identifier = identifier
        self.worker = worker
        self.length = length
        deadline = now + length
    }

    /// There was progress.
    mutating func extend(at now: MonotonicTime) { deadline = now + length }
}

/// Makes leases. Their identifiers never repeat within a run: the number of earlier starts, then a count.
struct LeaseMaker: Equatable, Sendable {
    /// A lease is at most this many times as long as the first one.
    private static let factorLimit = 8

    private let epoch: UInt64
    private let length: Duration
    private var count: UInt64 = 0

    init(epoch: UInt64, length: Duration) {
        precondition(epoch < 1 << 23, "lease epoch \(epoch) does not fit 23 bits")
        self.epoch = epoch
        self.length = length
    }

    mutating func nextIdentifier() -> LeaseIdentifier {
        count += 1
        return LeaseIdentifier(epoch << 40 | count)
    }

    /// - Parameter expiryCount: leases on the same work that ended for want of progress. Each doubles the time, so that
    ///   work whose parts take longer than a lease on every machine there is gets done all the same.
    mutating func next(for worker: String, at now: MonotonicTime, afterExpiries expiryCount: Int) -> Lease {
        let factor = expiryCount < Self.factorLimit.trailingZeroBitCount ? 1 << expiryCount : Self.factorLimit
        return Lease(identifier: nextIdentifier(), worker: worker, length: length * factor, at: now)
    }
}

/// Units of one kind of work, and the order in which they are given out.
///
/// A unit is: waiting → held → waiting (lease lost) → … → removed when its result is accepted. It has at most one
/// holder. Former leases are remembered, so that a late result can still close an open unit. A unit keeps its slot
/// until it is removed. Nothing here costs more than O(log n) for one unit; `slotsInOrder` looks at all of them.
struct LeaseBook<Work: Equatable & Sendable>: Equatable, Sendable {
    private static var formerLimit: Int { 16 }

    struct Former: Equatable, Sendable {
        let identifier: LeaseIdentifier
        let worker: String
    }

    struct Unit: Equatable, Sendable {
        let key: GroupKey
        var work: Work
        fileprivate(set) var holder: Lease?
        fileprivate(set) var former: [Former] = []
        /// Attempts that ended in a failure the worker reported.
        var failureCount = 0
        /// Leases lost with their worker or for want of progress.
        var lossCount = 0
        /// Those for want of progress.
        var expiryCount = 0
        /// Not given out before this.
        var notBefore = MonotonicTime.zero
        /// Workers that failed here: others are preferred.
        var avoided: [String] = []
        /// A spot check of the group with this key, which has an answer already.
        let isCheck: Bool
        /// Accounts of workers that must not have it.
        var excluded: [String] = []
        fileprivate(set) var order = UnitOrder()

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

    private(set) var units = Slots<Unit>()
    /// Those that may be given out, by line.
    var waiting = WaitingLines()
    // Looked up, never iterated.
    private var slots: [Name: Int] = [:]
    /// Live and former leases of open units.
    private var slotsByLease: [LeaseIdentifier: Int] = [:]
    /// Slots that a worker holds, in the order in which it got them.
    private var slotsByWorker: [String: [Int]] = [:]
    /// By slot: live leases' deadlines; when units that wait for a time may be given out.
    private var deadlines = DeadlineQueue()
    private var delays = DeadlineQueue()
    private var insertionCount: UInt64 = 0
    private(set) var checkCount = 0
    /// Live leases.
    private(set) var heldCount = 0
    /// Workers whose leases are others than at the last `takeChangedWorkers`.
    private var changedWorkers: [String] = []

    mutating func takeChangedWorkers() -> [String] {
        defer { changedWorkers = [] }
        return changedWorkers
    }

    /// In the order in which they are given out. O(n log n).
    var slotsInOrder: [Int] { inOrder(units.occupied) }
    var holders: [Lease] { slotsInOrder.compactMap { units[$0].holder } }

    func heldCount(of worker: String) -> Int { slotsByWorker[worker]?.count ?? 0 }
    func slot(of key: GroupKey, isCheck: Bool = false) -> Int? { slots[Name(key: key, isCheck: isCheck)] }

    func place(of lease: LeaseIdentifier) -> Place {
        guard let slot = slotsByLease[lease] else { return .unknown }
        return units[slot].holder?.identifier == lease ? .live(slot) : .former(slot)
    }

    /// Whom an open unit's live or former lease was given to.
    func owner(of lease: LeaseIdentifier) -> String? {
        switch place(of: lease) {
        case .live(let slot): units[slot].holder?.worker
        case .former(let slot): units[slot].former.first { $0.identifier == lease }?.worker
        case .unknown: nil
        }
    }

    /// - Parameter order: its insertion count is set here, so that equal ones are given out as they came.
    mutating func insert(_ unit: Unit, order: UnitOrder) {
        let name = Name(key: unit.key, isCheck: unit.isCheck)
        precondition(slots[name] == nil, "unit \(unit.key) is already open")
        insertionCount += 1
        var unit = unit
        unit.order = order
        unit.order.insertion = insertionCount
        let slot = units.insert(unit)
        slots[name] = slot
        if unit.isCheck { checkCount += 1 }
        enqueue(slot)
    }

    mutating func grant(_ slot: Int, _ lease: Lease) {
        precondition(units[slot].holder == nil, "unit \(units[slot].key) has a holder")
        dequeue(slot)
        units[slot].holder = lease
        heldCount += 1
        deadlines.set(slot, to: lease.deadline)
        slotsByLease[lease.identifier] = slot
        slotsByWorker[lease.worker, default: []].append(slot)
        changedWorkers.append(lease.worker)
    }

    /// Takes the unit away from its holder; the unit stays open.
    @discardableResult
    mutating func release(_ slot: Int) -> Lease? {
        guard let lease = units[slot].holder else { return nil }
        units[slot].holder = nil
        deadlines.set(slot, to: nil)
        units[slot].former.append(Former(identifier: lease.identifier, worker: lease.worker))
        if units[slot].former.count > Self.formerLimit {
            slotsByLease[units[slot].former.removeFirst().identifier] = nil
        }
        takeBack(slot, from: lease.worker)
        enqueue(slot)
        return lease
    }

    /// The unit starts anew: answers under its former leases are of no use any more.
    mutating func forgetFormerLeases(_ slot: Int) {
        for former in units[slot].former { slotsByLease[former.identifier] = nil }
        units[slot].former = []
    }

    @discardableResult
    mutating func remove(_ slot: Int) -> Unit {
        dequeue(slot)
        forgetFormerLeases(slot)
        let unit = units.remove(slot)
        slots[Name(key: unit.key, isCheck: unit.isCheck)] = nil
        if unit.isCheck { checkCount -= 1 }
        if let lease = unit.holder {
            deadlines.set(slot, to: nil)
            slotsByLease[lease.identifier] = nil
            takeBack(slot, from: lease.worker)
        }
        return unit
    }

    /// For everything but the holder.
    mutating func change(_ slot: Int, _ change: (inout Unit) -> Void) {
        let (lease, notBefore) = (units[slot].holder?.identifier, units[slot].notBefore)
        change(&units[slot])
        precondition(units[slot].holder?.identifier == lease, "holders change through grant and release only")
        if lease == nil, units[slot].notBefore != notBefore {
            dequeue(slot)
            enqueue(slot)
        }
    }

    /// - Returns: whether this is progress on a live lease of this worker.
    mutating func progress(of worker: String, _ report: LeaseProgress) -> Bool {
        guard case .live(let slot) = place(of: report.lease), let holder = units[slot].holder,
            holder.worker == worker, report.unitsDone > holder.unitsDone
        else { return false }
        units[slot].holder?.unitsDone = report.unitsDone
        return true
    }

    /// A worker computes one thing at a time, so progress on one of its leases keeps all of them.
    mutating func extend(_ worker: String, at now: MonotonicTime) {
        for slot in slotsByWorker[worker] ?? [] {
            units[slot].holder?.extend(at: now)
            deadlines.set(slot, to: units[slot].holder?.deadline)
        }
    }

    func slots(heldBy worker: String) -> [Int] {
        let held = slotsByWorker[worker] ?? []
        return held.count < 2 ? held : inOrder(held)
    }

    func expired(at now: MonotonicTime) -> [Int] { inOrder(deadlines.due(at: now)) }

    /// The next time at which something here changes by itself, after `now`.
    func nextDeadline(after now: MonotonicTime) -> MonotonicTime? {
        let (deadline, delay) = (deadlines.first(after: now), delays.first(after: now))
        guard let deadline, let delay else { return deadline ?? delay }
        return min(deadline, delay)
    }

    /// Units whose time has come wait with the others.
    mutating func wake(at now: MonotonicTime) {
        guard let first = delays.first, first <= now else { return }
        for slot in delays.due(at: now) {
            delays.set(slot, to: nil)
            waiting.add(slot, units[slot].order, isCheck: units[slot].isCheck)
        }
    }

    /// Slots whose time has come and that `wake` has not seen.
    func asleep(at now: MonotonicTime) -> [Int] { delays.due(at: now) }

    private mutating func enqueue(_ slot: Int) {
        if units[slot].notBefore > .zero {
            delays.set(slot, to: units[slot].notBefore)
        } else {
            waiting.add(slot, units[slot].order, isCheck: units[slot].isCheck)
        }
    }

    private mutating func dequeue(_ slot: Int) {
        delays.set(slot, to: nil)
        waiting.remove(slot)
    }

    private func inOrder(_ slots: [Int]) -> [Int] {
        slots.count < 2 ? slots : slots.sorted { units[$0].order < units[$1].order }
    }

    private mutating func takeBack(_ slot: Int, from worker: String) {
        changedWorkers.append(worker)
        heldCount -= 1
        guard let index = slotsByWorker[worker]?.firstIndex(of: slot) else {
            preconditionFailure("worker \(worker) gives back a lease that it does not hold")
        }
        slotsByWorker[worker]?.remove(at: index)
        if slotsByWorker[worker]?.isEmpty == true { slotsByWorker[worker] = nil }
    }
}
