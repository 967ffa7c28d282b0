// What a worker is doing, and which results the coordinator has not yet acknowledged.

import Rollouts

/// A piece of work is: running → result kept → acknowledged; or cancelled. Work that is asked for again under another
/// lease (after a lost connection) is carried on under that lease, and its result is sent once more, not made again.
struct WorkBook: Equatable, Sendable {
    private static let endedLimit = 256

    struct Running: Equatable, Sendable {
        /// What the shell calls it: the lease it was started under.
        let started: LeaseIdentifier
        /// What the coordinator calls it.
        var lease: LeaseIdentifier
        var order: WorkOrder
        var unitsDone: UInt64 = 0
    }

    struct Result: Equatable, Sendable {
        /// Every lease it was asked for under; the last one is the newest.
        var leases: [LeaseIdentifier]
        var order: WorkOrder
        var report: WorkReport
        var message: Message { report.message(for: leases[leases.count - 1]) }
    }

    enum Admission: Equatable {
        case start
        /// Already running, or over and done with.
        case known
        /// Done: send this again.
        case done(Message)
    }

    private(set) var running: [Running] = []
    /// Unacknowledged, oldest first.
    private(set) var results: [Result] = []
    /// Leases that are over, for duplicates of their assignments.
    private var ended: [LeaseIdentifier] = []
    private let resultLimit: Int

    init(resultLimit: Int) { self.resultLimit = resultLimit }

    mutating func admit(_ lease: LeaseIdentifier, _ order: WorkOrder) -> Admission {
        if ended.contains(lease) { return .known }
        if let index = running.firstIndex(where: { $0.order.isSameWork(as: order) }) {
            running[index].lease = lease
            return .known
        }
        if let index = results.firstIndex(where: { $0.order.isSameWork(as: order) }) {
            if !results[index].leases.contains(lease) { results[index].leases.append(lease) }
            return .done(results[index].message)
        }
        return .start
    }

    mutating func start(_ lease: LeaseIdentifier, _ order: WorkOrder) {
        running.append(Running(started: lease, lease: lease, order: order))
    }

    mutating func progress(_ started: LeaseIdentifier, _ unitsDone: UInt64) {
        guard let index = running.firstIndex(where: { $0.started == started }) else { return }
        running[index].unitsDone = max(running[index].unitsDone, unitsDone)
    }

    func find(started lease: LeaseIdentifier) -> Running? { running.first { $0.started == lease } }

    /// The work is done; its result is kept until it is acknowledged. Returns the message, and whether an older result
    /// had to be dropped for it; nil for work that was cancelled.
    mutating func finish(_ started: LeaseIdentifier, _ report: WorkReport) -> (message: Message, droppedOldest: Bool)? {
        guard let index = running.firstIndex(where: { $0.started == started }) else { return nil }
        let done = running.remove(at: index)
        let leases = done.started == done.lease ? [done.lease] : [done.started, done.lease]
        let result = Result(leases: leases, order: done.order, report: report)
        results.append(result)
        let isOver = results.count > resultLimit
        if isOver { results.removeFirst() }
        return (result.message, isOver)
    }

    mutating func acknowledge(_ lease: LeaseIdentifier) {
        guard let index = results.firstIndex(where: { $0.leases.contains(lease) }) else { return }
        for over in results.remove(at: index).leases { end(over) }
    }

    /// Returns the running work to stop, if there is any under this lease.
    mutating func cancel(_ lease: LeaseIdentifier) -> Running? {
        if let index = running.firstIndex(where: { $0.lease == lease }) {
            end(lease)
            return running.remove(at: index)
        }
        if let index = results.firstIndex(where: { $0.leases.last == lease }) {
            end(lease)
            results.remove(at: index)
        }
        return nil
    }

    /// Stops what matches. Returns it.
    mutating func cancelAll(where isVoid: (WorkOrder) -> Bool) -> [Running] {
        let void = running.filter { isVoid($0.order) }
        running.removeAll { isVoid($0.order) }
        for work in void { end(work.lease) }
        return void
    }

    mutating func forgetResults() { results = [] }

    private mutating func end(_ lease: LeaseIdentifier) {
        if ended.count == Self.endedLimit { ended.removeFirst() }
        ended.append(lease)
    }
}
