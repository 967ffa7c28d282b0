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

    struct Grant: Equatable {
        var worker: String
        var lease: LeaseIdentifier
        var assignment: RolloutAssignment
    }

    mutating func add(_ assignment: RolloutAssignment) {
        let unit = Unit(key: assignment.prompt.key, work: assignment)
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
        for unit in book.units where unit.isWaiting(at: now) {
            if demand.last?.version == unit.work.version {
                demand[demand.count - 1].count += 1
            } else {
                demand.append((unit.work.version, 1))
            }
        }
        return demand
    }

    /// - Parameters:
    ///   - reserved: a worker that is being prepared for training and takes no groups.
    ///   - manifest: the published policy of a version.
    mutating func assign(
        to workers: [Worker], except reserved: String?, at now: MonotonicTime, leaseLength: Duration,
        counter: inout LeaseCounter, manifest: (PolicyVersion) -> PolicyManifest?
    ) -> [Grant] {
        var grants: [Grant] = []
        var free = workers.map { worker in
            worker.isReachable && worker.has(.rollout) && worker.name != reserved
                ? worker.hello.rolloutSlots - book.heldCount(of: worker.name) : 0
        }
        for index in book.units.indices where book.units[index].isWaiting(at: now) {
            let unit = book.units[index]
            guard let policy = manifest(unit.work.version) else { continue }
            let able = workers.indices.filter { free[$0] > 0 && workers[$0].holds(policy) }
            guard let chosen = Self.preferred(able, workers, free, avoiding: unit.avoided, at: now) else { continue }
            let lease = Lease(identifier: counter.next(), worker: workers[chosen].name, deadline: now + leaseLength)
            book.grant(index, lease)
            free[chosen] -= 1
            grants.append(Grant(worker: lease.worker, lease: lease.identifier, assignment: unit.work))
        }
        return grants
    }

    /// Rested workers that did not fail here before the others; the most free slots first; then the longest joined.
    static func preferred(
        _ able: [Int], _ workers: [Worker], _ free: [Int], avoiding avoided: [String], at now: MonotonicTime
    ) -> Int? {
        func rank(_ index: Int) -> (Int, Int, Int) {
            (avoided.contains(workers[index].name) ? 1 : 0, workers[index].rests(at: now) ? 1 : 0, -free[index])
        }
        return able.min { rank($0) < rank($1) }
    }

    /// What makes these completions unusable as an answer to this assignment; nil when nothing does.
    static func fault(in completions: [Completion], of assignment: RolloutAssignment) -> String? {
        guard completions.count == assignment.groupSize else {
            return "expected \(assignment.groupSize) completions, found \(completions.count)"
        }
        for (place, completion) in completions.enumerated() {
            if let fault = fault(in: completion, at: place, of: assignment) { return "completion \(place): \(fault)" }
        }
        return nil
    }

    private static func fault(in completion: Completion, at place: Int, of assignment: RolloutAssignment) -> String? {
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
        if let version = completion.versions.first(where: { $0 != assignment.version }) {
            return "sampled with version \(version.rawValue), asked for \(assignment.version.rawValue)"
        }
        for logProb in completion.sampledLogProbs + completion.policyLogProbs {
            if !logProb.isFinite || logProb > logProbSlack { return "log-prob \(logProb)" }
        }
        for entropy in completion.entropies where !entropy.isFinite || entropy < -logProbSlack {
            return "entropy \(entropy)"
        }
        return nil
    }
}
