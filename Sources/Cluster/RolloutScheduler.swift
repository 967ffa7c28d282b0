// Which worker samples which group.

import Rollouts

/// Groups are given out in the order (version, evaluation before training, key), to workers that proved the hash of
/// exactly the version asked for and have a free slot. A lost lease puts its group back in its place.
struct RolloutScheduler: Equatable, Sendable {
    typealias Unit = LeaseBook<RolloutAssignment>.Unit
    /// Reported failures of one group before the run pauses and asks.
    static let failureLimit = 5
    /// Log-probs may exceed 0 by rounding.
    private static let logProbSlack: Float = 1e-3

    var book = LeaseBook<RolloutAssignment>()
    private let vocabularyCount: Int?

    /// - Parameter vocabularyCount: token ids from this on are in no completion; nil: not known.
    init(vocabularyCount: Int? = nil) { self.vocabularyCount = vocabularyCount }

    struct Grant: Equatable {
        var worker: String
        var lease: LeaseIdentifier
        var assignment: RolloutAssignment
    }

    mutating func add(_ assignment: RolloutAssignment) {
        insert(Unit(key: assignment.prompt.key, work: assignment))
    }

    /// The group is to be sampled again, by somebody else.
    mutating func addCheck(_ assignment: RolloutAssignment, excluding accounts: [String]) {
        var unit = Unit(key: assignment.prompt.key, work: assignment, isCheck: true)
        unit.excluded = accounts
        insert(unit)
    }

    private mutating func insert(_ unit: Unit) {
        book.insert(unit) { Self.comesBefore(unit, $0) }
    }

    private static func comesBefore(_ left: Unit, _ right: Unit) -> Bool {
        func rank(_ unit: Unit) -> Int { unit.key.purpose == .evaluation ? 0 : 1 }
        return (left.work.version.rawValue, rank(left), left.key.step, left.key.ordinal)
            < (right.work.version.rawValue, rank(right), right.key.step, right.key.ordinal)
    }

    /// Waiting groups per version, versions ascending.
    func demand(at now: MonotonicTime) -> [(version: PolicyVersion, count: Int)] {
        var demand: [(version: PolicyVersion, count: Int)] = []
        for index in book.units.indices where book.units[index].isWaiting(at: now) && !book.units[index].isCheck {
            let version = book.units[index].work.version
            if demand.last?.version == version {
                demand[demand.count - 1].count += 1
            } else {
                demand.append((version, 1))
            }
        }
        return demand
    }

    /// Waiting spot checks: the version each needs, and who must not make it.
    func checkDemand(at now: MonotonicTime) -> [(version: PolicyVersion, excluded: [String])] {
        book.units.indices.filter { book.units[$0].isCheck && book.units[$0].isWaiting(at: now) }
            .map { (book.units[$0].work.version, book.units[$0].excluded) }
    }

    /// - Parameters:
    ///   - reserved: a worker that is being prepared for training and takes no groups.
    ///   - manifest: the published policy of a version.
    mutating func assign(
        to workers: [Worker], except reserved: String?, at now: MonotonicTime, leaseLength: Duration,
        counter: inout LeaseCounter, manifest: (PolicyVersion) -> PolicyManifest?
    ) -> [Grant] {
        var grants: [Grant] = []
        guard book.units.indices.contains(where: { book.units[$0].isWaiting(at: now) }) else { return [] }
        var free = workers.indices.map { index in
            workers[index].isSampler && workers[index].takesWork && workers[index].name != reserved
                ? workers[index].hello.rolloutSlots - book.heldCount(of: workers[index].name) : 0
        }
        // Groups come in order of version: the workers that hold it are found once for each.
        var version: PolicyVersion?
        var newer = false
        var able: [Int] = []
        for index in book.units.indices where book.units[index].isWaiting(at: now) {
            let work = book.units[index].work
            if work.version != version || work.newer != newer {
                (version, newer) = (work.version, work.newer)
                able = workers.indices.filter { place in
                    guard free[place] > 0, let proven = workers[place].provenVersion, work.admits(proven)
                    else { return false }
                    return manifest(proven).map(workers[place].holds) ?? false
                }
            }
            let avoided = book.units[index].avoided
            let excluded = book.units[index].excluded
            let allowed =
                excluded.isEmpty ? able : able.filter { !excluded.contains(Membership.account(of: workers[$0].name)) }
            guard let chosen = Self.preferred(allowed, workers, free, avoiding: avoided, at: now) else { continue }
            let lease = Lease(identifier: counter.next(), worker: workers[chosen].name, deadline: now + leaseLength)
            book.grant(index, lease)
            free[chosen] -= 1
            if free[chosen] == 0 { able.removeAll { $0 == chosen } }
            grants.append(
                Grant(worker: lease.worker, lease: lease.identifier, assignment: book.units[index].work))
        }
        return grants
    }

    /// Whether the worker samples what only the version it holds may sample.
    func needsItsPolicy(_ worker: String) -> Bool {
        book.indices(heldBy: worker).contains { !book.units[$0].work.newer }
    }

    /// Rested workers that did not fail here before the others; the most free slots first; then the longest joined.
    static func preferred(
        _ able: [Int], _ workers: [Worker], _ free: [Int], avoiding avoided: [String], at now: MonotonicTime
    ) -> Int? {
        var best: (index: Int, rank: (Int, Int, Int))?
        for index in able {
            let isAvoided = !avoided.isEmpty && avoided.contains(workers[index].name)
            let isResting = workers[index].restUntil.map { $0 > now } ?? false
            let rank = (isAvoided ? 1 : 0, isResting ? 1 : 0, -free[index])
            if best.map({ rank < $0.rank }) ?? true { best = (index, rank) }
        }
        return best?.index
    }

    /// What makes these completions unusable as an answer to this assignment; nil when nothing does.
    /// - Parameter newest: of the versions that may have sampled; nil: the assignment's own.
    func fault(
        in completions: [Completion], of assignment: RolloutAssignment, newest: PolicyVersion? = nil
    ) -> String? {
        guard completions.count == assignment.groupSize else {
            return "expected \(assignment.groupSize) completions, found \(completions.count)"
        }
        for (place, completion) in completions.enumerated() {
            if let fault = fault(in: completion, at: place, of: assignment, newest ?? assignment.version) {
                return "completion \(place): \(fault)"
            }
        }
        return nil
    }

    private func fault(
        in completion: Completion, at place: Int, of assignment: RolloutAssignment, _ newest: PolicyVersion
    ) -> String? {
        let count = completion.tokens.count
        guard completion.index == place else { return "has index \(completion.index)" }
        guard (1...max(1, assignment.sampling.maxNewTokens)).contains(count) else {
            return "expected 1 to \(assignment.sampling.maxNewTokens) tokens, found \(count)"
        }
        guard completion.sampledLogProbs.count == count, completion.policyLogProbs.count == count,
            completion.entropies.count == count, completion.versions.count == count
        else {
            return "\(count) tokens, \(completion.sampledLogProbs.count) sampled log-probs, "
                + "\(completion.policyLogProbs.count) policy log-probs, \(completion.entropies.count) entropies and "
                + "\(completion.versions.count) versions"
        }
        if let token = completion.tokens.first(where: { $0 < 0 || Int($0) >= vocabularyCount ?? .max }) {
            return "token \(token) is not in the vocabulary" + (vocabularyCount.map { " of \($0)" } ?? "")
        }
        if let version = completion.versions.first(where: { !assignment.admits($0) || $0 > newest }) {
            return "sampled with version \(version.rawValue), asked for \(assignment.version.rawValue)"
                + (assignment.newer ? " to \(newest.rawValue)" : "")
        }
        for logProb in completion.sampledLogProbs + completion.policyLogProbs {
            if !logProb.isFinite || logProb > Self.logProbSlack { return "log-prob \(logProb)" }
        }
        for entropy in completion.entropies where !entropy.isFinite || entropy < -Self.logProbSlack {
            return "entropy \(entropy)"
        }
        return nil
    }
}
