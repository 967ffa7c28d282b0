// Which learner computes which part of a step's gradient.

import Rollouts

/// One step's gradient, shared by several learners: parts are nodes of the tree in which shards are added, so who
/// computes which of them changes no bit of the sum.
///
/// A part is: waiting → held → waiting (lease lost) → … → done. When all are done the leading learner, which has the
/// optimizer state, adds them in the tree's order and makes the step. The leader is lost: everything is given up.
struct GradientShards: Equatable, Sendable {
    /// Failures of one part before the run fails.
    static let failureLimit = 3

    struct Shared: Equatable, Sendable {
        let step: Int
        let base: PolicyManifest
        let leader: String
        let startedAt: MonotonicTime
        /// In order of arrival.
        var done: [GradientPart] = []
        /// Who computed them.
        var learners: [String] = []

        /// Blobs of the parts that are done.
        var blobs: [BlobReference] { done.compactMap(\.blob) }
    }

    struct Grant: Equatable {
        var worker: String
        var lease: LeaseIdentifier
        var assignment: GradientAssignment
    }

    private(set) var shared: Shared?
    /// Parts that are not done, named by their step and first shard.
    var book = LeaseBook<GradientAssignment>()

    static func key(step: Int, _ shards: ShardRange) -> GroupKey {
        GroupKey(purpose: .training, step: step, ordinal: shards.first)
    }

    /// - Parameter parts: together the whole tree.
    mutating func begin(_ shared: Shared, parts: [GradientAssignment]) {
        precondition(self.shared == nil && book.units.isEmpty, "step \(shared.step) is shared before another is done")
        self.shared = shared
        for part in parts {
            let key = Self.key(step: shared.step, part.shards)
            book.insert(LeaseBook.Unit(key: key, work: part), order: UnitOrder(key))
        }
    }

    /// Everything is done or given up. Returns the leases that were live, and the blobs that nobody needs any more.
    mutating func end() -> (leases: [Lease], blobs: [BlobReference]) {
        let result = (book.holders, shared?.blobs ?? [])
        for slot in book.units.occupied { book.remove(slot) }
        shared = nil
        return result
    }

    /// Every part, in shard order; nil while one is missing.
    var parts: [GradientPart]? {
        guard let shared, book.units.isEmpty else { return nil }
        return shared.done.sorted { $0.shards.first < $1.shards.first }
    }

    mutating func finish(_ index: Int, _ part: GradientPart, by worker: String) -> Lease? {
        shared?.done.append(part)
        if shared?.learners.contains(worker) == false { shared?.learners.append(worker) }
        return book.remove(index).holder
    }

    /// What makes this unusable as an answer to that part's assignment; nil when nothing does.
    func fault(in part: GradientPart, step: Int, of assignment: GradientAssignment, from worker: String) -> String? {
        guard step == assignment.step else { return "reports step \(step), asked for \(assignment.step)" }
        guard part.shards == assignment.shards else {
            return "reports shards \(part.shards.shards), asked for \(assignment.shards.shards)"
        }
        if part.blob == nil, worker != shared?.leader { return "the gradient is missing" }
        return nil
    }

    /// Whether this worker can compute parts: the leader from its own state, another learner with the base that it
    /// proved to hold.
    func isAble(_ worker: Worker) -> Bool {
        guard let shared, worker.isLearner, worker.isReachable else { return false }
        return worker.name == shared.leader || (worker.holds(shared.base) && !worker.isDraining)
    }

    /// One part a learner at a time; the leader before the others. A part goes back to a learner that lost it only when
    /// every other one did too.
    mutating func assign(
        to workers: [Worker], at now: MonotonicTime, leases: inout LeaseMaker
    ) -> [Grant] {
        book.wake(at: now)
        guard let shared, !book.waiting.isEmpty else { return [] }
        let able = workers.filter { isAble($0) }
        var grants: [Grant] = []
        for index in book.slotsInOrder where book.units[index].isWaiting(at: now) {
            let avoided = book.units[index].avoided
            let willing = able.filter { !avoided.contains($0.name) }
            let idle = (willing.isEmpty ? able : willing).filter { book.heldCount(of: $0.name) == 0 }
            let chosen = idle.min { rank($0, shared.leader, now) < rank($1, shared.leader, now) }
            guard let chosen else { continue }
            let lease = leases.next(for: chosen.name, at: now, afterExpiries: book.units[index].expiryCount)
            book.change(index) { $0.work.keep = chosen.name == shared.leader }
            book.grant(index, lease)
            grants.append(Grant(worker: chosen.name, lease: lease.identifier, assignment: book.units[index].work))
        }
        return grants
    }

    private func rank(_ worker: Worker, _ leader: String, _ now: MonotonicTime) -> (Int, Int) {
        (worker.rests(at: now) ? 1 : 0, worker.name == leader ? 0 : 1)
    }
}
