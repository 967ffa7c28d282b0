// Which worker is told to load which policy.

import Rollouts

extension PolicyPublication {
    struct Load: Equatable {
        var worker: String
        var manifest: PolicyManifest
    }

    /// A waiting spot check: the version it needs, and the accounts that must not make it.
    typealias Check = (version: PolicyVersion, excluded: [String])

    /// Workers that are taken for a version: those that hold it or load it, the longest joined first, until its groups
    /// have slots enough. They are not listed one by one: whether a worker is among them is told by the slots of those
    /// before it.
    private struct Holders {
        let stock: Int
        let slotCount: Int
        /// How many of `taken` were taken for something else before.
        let takenCount: Int
    }

    /// Who is taken so far.
    private struct Places {
        let index: WorkerIndex
        /// One by one: for checks, and to load.
        private(set) var taken: [Int] = []
        /// The same; looked up, never iterated.
        private var isTaken: Set<Int> = []
        private(set) var holders: [Holders] = []

        init(_ index: WorkerIndex) { self.index = index }

        mutating func take(_ place: Int) {
            if isTaken.insert(place).inserted { taken.append(place) }
        }
        mutating func takeHolders(of stock: Int, slots: Int) {
            holders.append(Holders(stock: stock, slotCount: slots, takenCount: taken.count))
        }

        /// Slots of the holders that are not taken for something else.
        func slotCount(of stock: Int) -> Int {
            taken.reduce(index.stocks[stock].slots.total) { $0 - index.stocks[stock].slots[$1] }
        }

        func contains(_ place: Int) -> Bool {
            if isTaken.contains(place) { return true }
            return holders.contains { holders in
                let stock = index.stocks[holders.stock]
                guard stock.holders.contains(place) else { return false }
                let before = taken.prefix(holders.takenCount).reduce(stock.slots.sum(before: place)) {
                    $0 - ($1 < place ? stock.slots[$1] : 0)
                }
                return before < holders.slotCount
            }
        }
    }

    /// Which rollout workers to tell to load what: enough of them for each version with waiting groups, oldest version
    /// first; the others load the one that is needed next. O(log n) for each worker that may load and does not hold
    /// what it is to hold.
    /// - Parameters:
    ///   - isFree: of a worker that the index says may load: whether it is kept for nothing else.
    ///   - demand: waiting groups per version, ascending.
    ///   - checkedVersions: those of `checks`.
    ///   - checks: waiting spot checks: each needs one worker that is none of these accounts.
    ///   - ahead: what workers without groups load.
    func loads(
        for members: Membership, _ index: WorkerIndex, isFree: (Worker) -> Bool,
        demand: [(version: PolicyVersion, count: Int)], checkedVersions: [PolicyVersion] = [],
        checks: () -> [Check] = { [] }, ahead: PolicyManifest?
    ) -> [Load] {
        if index.mayLoad.isEmpty { return [] }
        if let ahead, demand.allSatisfy({ $0.version == ahead.version }),
            checkedVersions.allSatisfy({ $0 == ahead.version }),
            index.provenCount(of: ahead.version) == index.reachableSamplerCount
        {
            return []
        }
        var loads: [Load] = []
        var places = Places(index)
        func load(_ place: Int, _ manifest: PolicyManifest) {
            loads.append(Load(worker: members.workers[place].name, manifest: manifest))
            places.take(place)
        }
        func firstToLoad(from start: Int = 0, _ isAble: (Int) -> Bool = { _ in true }) -> Int? {
            var next = index.mayLoad.next(from: start)
            while let place = next {
                if isAble(place), !places.contains(place), isFree(members.workers[place]) { return place }
                next = index.mayLoad.next(from: place + 1)
            }
            return nil
        }
        for (version, excluded) in checkedVersions.isEmpty ? [] : checks() {
            guard let manifest = manifest(of: version) else { continue }
            func isAble(_ place: Int) -> Bool {
                !excluded.contains(Membership.account(of: members.workers[place].name))
            }
            if let holder = index.stock(of: manifest).flatMap({ index.stocks[$0].holders.first(where: isAble) }) {
                places.take(holder)
            } else if let free = firstToLoad(isAble) {
                load(free, manifest)
            }
        }
        for (version, count) in demand {
            guard let manifest = manifest(of: version) else { continue }
            var missing = count
            if let stock = index.stock(of: manifest) {
                missing -= places.slotCount(of: stock)
                places.takeHolders(of: stock, slots: count)
            }
            var next = missing > 0 ? firstToLoad() : nil
            while let place = next, missing > 0 {
                load(place, manifest)
                missing -= members.workers[place].hello.rolloutSlots
                next = firstToLoad(from: place + 1)
            }
        }
        guard let ahead else { return loads }
        for place in index.mayLoadOther(than: ahead) where !places.contains(place) && isFree(members.workers[place]) {
            load(place, ahead)
        }
        return loads
    }

    /// In flight everyone takes the wanted policy: a newer one whatever is being sampled, an older one when nothing is.
    /// - Parameters:
    ///   - isFree: of a worker that the index says may load: whether it is kept for nothing else.
    ///   - isIdle: those without leases.
    func loadsInFlight(
        for members: Membership, _ index: WorkerIndex, isFree: (Worker) -> Bool, isIdle: (Worker) -> Bool,
        wanted: PolicyManifest?
    ) -> [Load] {
        guard let wanted else { return [] }
        return index.mayLoadOther(than: wanted).map { members.workers[$0] }.filter { worker in
            guard isFree(worker) else { return false }
            return worker.provenVersion.map { $0 < wanted.version } ?? false || isIdle(worker)
        }.map { Load(worker: $0.name, manifest: wanted) }
    }
}
