// Which workers are free, and which hold what, found without a look at all of them.

import Rollouts

/// Every worker is filed under what the schedulers ask for: the policy it holds or loads, its free slots, whether it
/// may load another policy. The coordinator files again those that something happened to; nothing here decides.
/// Filing: O(log n). Workers are named by their places in `Membership.workers`.
struct WorkerIndex: Equatable, Sendable {
    /// What is filed of a worker.
    struct Entry: Equatable, Sendable {
        /// Which of `stocks` a reachable sampler holds or loads.
        var stock: Int?
        /// It proved to hold that.
        var isProven = false
        var rolloutSlots = 0
        /// Slots for rollouts that may be filled now; 0 unless it takes work and proved its policy.
        var freeRollouts = 0
        var freeVerifications = 0
        var isResting = false
        var isReachableSampler = false
        /// A sampler that takes work and has nothing in hand that needs its policy, and no load under way.
        var mayLoad = false
    }

    /// Samplers that hold or load one policy.
    struct Stock: Equatable, Sendable {
        let version: PolicyVersion
        let weightsHash: Digest
        /// Rollout slots of reachable samplers that hold or load it.
        var slots = PlaceSums()
        var holders = PlaceSet()
        var free = FreeWorkers()
        var mayLoad = PlaceSet()
        var provenCount = 0
    }

    private(set) var stocks: [Stock] = []
    private(set) var verifiers = FreeWorkers()
    /// Samplers that may load, whatever they hold; those of them that hold nothing.
    private(set) var mayLoad = PlaceSet()
    private(set) var mayLoadWithout = PlaceSet()
    private(set) var reachableSamplerCount = 0
    private var entries: [Entry] = []
    /// Entries made or moved so far.
    private(set) var filingCount = 0

    mutating func forgetAll() {
        let count = filingCount
        self = WorkerIndex()
        filingCount = count
    }

    /// The stock of this policy, if anybody holds or loads it.
    func stock(of manifest: PolicyManifest) -> Int? {
        stocks.firstIndex { $0.version == manifest.version && $0.weightsHash == manifest.weightsHash }
    }

    /// The same, made if it is new.
    private mutating func addStock(of manifest: PolicyManifest) -> Int {
        if let known = stock(of: manifest) { return known }
        let made = Stock(version: manifest.version, weightsHash: manifest.weightsHash)
        if let empty = stocks.firstIndex(where: { $0.holders.isEmpty && $0.mayLoad.isEmpty }) {
            stocks[empty] = made
            return empty
        }
        stocks.append(made)
        return stocks.count - 1
    }

    /// Samplers that may load and do not hold this policy, in order.
    func mayLoadOther(than manifest: PolicyManifest) -> [Int] {
        var places = Array(mayLoadWithout)
        for stock in stocks where stock.version != manifest.version || stock.weightsHash != manifest.weightsHash {
            places += stock.mayLoad
        }
        return places.count < 2 ? places : places.sorted()
    }

    /// Reachable samplers that proved to hold a policy of this version.
    func provenCount(of version: PolicyVersion) -> Int {
        stocks.reduce(0) { $0 + ($1.version == version ? $1.provenCount : 0) }
    }

    /// What a worker has in hand.
    struct Held: Equatable {
        var rollouts = 0
        /// Some of them may be sampled only with the policy it holds.
        var needsItsPolicy = false
        var verifications = 0
        var gradients = 0
    }

    mutating func file(_ place: Int, _ worker: Worker, _ held: Held, at now: MonotonicTime) {
        var entry = Entry()
        entry.isResting = worker.rests(at: now)
        if worker.isSampler, worker.isReachable {
            entry.isReachableSampler = true
            entry.rolloutSlots = worker.hello.rolloutSlots
            switch worker.policy {
            case .ready(let manifest):
                entry.stock = addStock(of: manifest)
                entry.isProven = true
                if worker.takesWork { entry.freeRollouts = max(0, worker.hello.rolloutSlots - held.rollouts) }
            case .loading(let manifest, _): entry.stock = addStock(of: manifest)
            case .none, .failed: break
            }
            entry.mayLoad =
                worker.takesWork && worker.mayLoad(at: now) && !held.needsItsPolicy && held.gradients == 0
        }
        if worker.isVerifier, worker.takesWork {
            entry.freeVerifications = max(0, worker.hello.verificationSlots - held.verifications)
        }
        file(place, entry)
    }

    private mutating func file(_ place: Int, _ entry: Entry) {
        filingCount += 1
        while entries.count <= place { entries.append(Entry()) }
        let former = entries[place]
        guard former != entry else { return }
        take(place, former)
        entries[place] = entry
        put(place, entry)
    }

    /// A group more that this worker samples, or judges.
    mutating func takeRolloutSlot(_ place: Int) {
        var entry = entries[place]
        entry.freeRollouts -= 1
        file(place, entry)
    }
    mutating func takeVerificationSlot(_ place: Int) {
        var entry = entries[place]
        entry.freeVerifications -= 1
        file(place, entry)
    }

    private mutating func take(_ place: Int, _ entry: Entry) {
        if entry.isReachableSampler { reachableSamplerCount -= 1 }
        verifiers.set(place, free: entry.freeVerifications, isResting: entry.isResting, isIn: false)
        if entry.mayLoad { mayLoad.set(place, false) }
        guard let stock = entry.stock else { return mayLoadWithout.set(place, false) }
        stocks[stock].slots.set(place, to: 0)
        stocks[stock].holders.set(place, false)
        stocks[stock].free.set(place, free: entry.freeRollouts, isResting: entry.isResting, isIn: false)
        if entry.mayLoad { stocks[stock].mayLoad.set(place, false) }
        if entry.isProven { stocks[stock].provenCount -= 1 }
    }

    private mutating func put(_ place: Int, _ entry: Entry) {
        if entry.isReachableSampler { reachableSamplerCount += 1 }
        verifiers.set(place, free: entry.freeVerifications, isResting: entry.isResting, isIn: true)
        if entry.mayLoad { mayLoad.set(place, true) }
        guard let stock = entry.stock else {
            if entry.mayLoad { mayLoadWithout.set(place, true) }
            return
        }
        stocks[stock].slots.set(place, to: entry.rolloutSlots)
        stocks[stock].holders.set(place, true)
        stocks[stock].free.set(place, free: entry.freeRollouts, isResting: entry.isResting, isIn: true)
        if entry.mayLoad { stocks[stock].mayLoad.set(place, true) }
        if entry.isProven { stocks[stock].provenCount += 1 }
    }
}

/// Workers with free slots: those that rest after those that do not, the most free slots first, then by place.
struct FreeWorkers: Equatable, Sendable {
    static let slotsLimit = 4096

    private struct Side: Equatable, Sendable {
        /// By free slots.
        var places: [PlaceSet] = []
        /// `slotsLimit` minus the free slots of somebody.
        var counts = PlaceSet()
    }
    private var rested = Side()
    private var resting = Side()

    var isEmpty: Bool { rested.counts.isEmpty && resting.counts.isEmpty }

    fileprivate mutating func set(_ place: Int, free: Int, isResting: Bool, isIn: Bool) {
        guard free > 0 else { return }
        if isResting { Self.set(place, free, isIn, &resting) } else { Self.set(place, free, isIn, &rested) }
    }

    private static func set(_ place: Int, _ free: Int, _ isIn: Bool, _ side: inout Side) {
        while side.places.count <= free { side.places.append(PlaceSet()) }
        side.places[free].set(place, isIn)
        side.counts.set(slotsLimit - free, !side.places[free].isEmpty)
    }

    /// The first of the rested, or of the resting, that is not passed over, with its free slots.
    func first(resting isResting: Bool, passingOver isPassed: (Int) -> Bool) -> (place: Int, free: Int)? {
        let side = isResting ? resting : rested
        for count in side.counts {
            let free = Self.slotsLimit - count
            if let place = side.places[free].first(where: { !isPassed($0) }) { return (place, free) }
        }
        return nil
    }
}
