// Who gets what, decided by a look at every worker: what the schedulers' shorter ways must agree with.

import Rollouts
import Simulation

@testable import Cluster

extension WorkerIndex {
    /// Of workers that have nothing in hand but what this book says.
    init(_ members: Membership, rollouts: RolloutScheduler = RolloutScheduler(), at now: MonotonicTime = .zero) {
        self.init()
        for (place, worker) in members.workers.enumerated() {
            let held = Held(
                rollouts: rollouts.book.heldCount(of: worker.name),
                needsItsPolicy: rollouts.needsItsPolicy(worker.name))
            file(place, worker, held, at: now)
        }
    }
}

extension RolloutScheduler {
    mutating func assign(
        to workers: [Worker], except reserved: String?, at now: MonotonicTime, leases: inout LeaseMaker,
        manifest: (PolicyVersion) -> PolicyManifest?
    ) -> [Grant] {
        let members = Membership(options: ClusterOptions(), workers: workers)
        var index = WorkerIndex(members, rollouts: self, at: now)
        return assign(
            to: members, &index, except: reserved, at: now, leases: &leases, manifest: manifest)
    }

    /// `worker slot` for each group that may be given out, in order.
    func plainGrants(
        to workers: [Worker], except reserved: String?, at now: MonotonicTime,
        manifest: (PolicyVersion) -> PolicyManifest?
    ) -> [String] {
        var free = workers.map { worker in
            worker.isSampler && worker.takesWork && worker.name != reserved
                ? worker.hello.rolloutSlots - book.heldCount(of: worker.name) : 0
        }
        var grants: [String] = []
        for slot in book.slotsInOrder where book.units[slot].isWaiting(at: now) {
            let unit = book.units[slot]
            let able = workers.indices.filter { place in
                guard free[place] > 0, let proven = workers[place].provenVersion, unit.work.admits(proven),
                    !unit.excluded.contains(Membership.account(of: workers[place].name))
                else { return false }
                return manifest(proven).map(workers[place].holds) ?? false
            }
            func rank(_ place: Int) -> (Int, Int, Int) {
                (
                    unit.avoided.contains(workers[place].name) ? 1 : 0, workers[place].rests(at: now) ? 1 : 0,
                    -free[place]
                )
            }
            guard let chosen = able.min(by: { rank($0) < rank($1) }) else { continue }
            free[chosen] -= 1
            grants.append("\(workers[chosen].name) \(slot)")
        }
        return grants
    }
}

extension VerificationScheduler {
    mutating func assign(
        to workers: [Worker], at now: MonotonicTime, leases: inout LeaseMaker
    ) -> [Grant] {
        let members = Membership(options: ClusterOptions(), workers: workers)
        var index = WorkerIndex()
        for (place, worker) in workers.enumerated() {
            index.file(place, worker, .init(verifications: book.heldCount(of: worker.name)), at: now)
        }
        return assign(to: members, &index, at: now, leases: &leases)
    }
}

extension PolicyPublication {
    func loads(
        for workers: [Worker], holding: RolloutScheduler = RolloutScheduler(), isFree: (Worker) -> Bool = { _ in true },
        demand: [(version: PolicyVersion, count: Int)], checks: [Check] = [], ahead: PolicyManifest?,
        at now: MonotonicTime = .zero
    ) -> [Load] {
        let members = Membership(options: ClusterOptions(), workers: workers)
        return loads(
            for: members, WorkerIndex(members, rollouts: holding, at: now), isFree: isFree, demand: demand,
            checkedVersions: checks.map(\.version), checks: { checks }, ahead: ahead)
    }

    /// The same by a look at all workers for each version.
    func plainLoads(
        for workers: [Worker], idle: (Worker) -> Bool, demand: [(version: PolicyVersion, count: Int)],
        checks: [Check], ahead: PolicyManifest?
    ) -> [Load] {
        var loads: [Load] = []
        var placed = workers.map { !$0.isSampler || $0.peer == nil }
        for (version, excluded) in checks {
            guard let manifest = manifest(of: version) else { continue }
            let able = workers.indices.filter { place in
                workers[place].isSampler && workers[place].peer != nil
                    && !excluded.contains(Membership.account(of: workers[place].name))
            }
            if let holder = able.first(where: { workers[$0].holds(manifest) || workers[$0].isLoading(manifest) }) {
                placed[holder] = true
            } else if let free = able.first(where: { !placed[$0] && idle(workers[$0]) }) {
                loads.append(Load(worker: workers[free].name, manifest: manifest))
                placed[free] = true
            }
        }
        for (version, count) in demand {
            guard let manifest = manifest(of: version) else { continue }
            var missing = count
            for place in workers.indices where !placed[place] && missing > 0 {
                guard workers[place].holds(manifest) || workers[place].isLoading(manifest) else { continue }
                missing -= workers[place].hello.rolloutSlots
                placed[place] = true
            }
            for place in workers.indices where !placed[place] && missing > 0 && idle(workers[place]) {
                loads.append(Load(worker: workers[place].name, manifest: manifest))
                missing -= workers[place].hello.rolloutSlots
                placed[place] = true
            }
        }
        for place in workers.indices where !placed[place] && idle(workers[place]) {
            guard let ahead, !workers[place].holds(ahead) else { continue }
            loads.append(Load(worker: workers[place].name, manifest: ahead))
        }
        return loads
    }
}
