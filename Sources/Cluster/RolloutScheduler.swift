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
        let key = unit.key
        book.insert(
            unit,
            order: UnitOrder(
                line: Self.line(of: unit.work), major: key.purpose == .evaluation ? 0 : 1, minor: key.step,
                ordinal: key.ordinal))
    }

    /// Waiting groups per version, versions ascending.
    func demand(at now: MonotonicTime) -> [(version: PolicyVersion, count: Int)] {
        var counts: [(version: PolicyVersion, count: Int)] = []
        func add(_ version: PolicyVersion, _ count: Int) {
            if let index = counts.firstIndex(where: { $0.version == version }) {
                counts[index].count += count
            } else {
                counts.append((version, count))
            }
        }
        for line in book.waiting.counts where line.count > 0 { add(Self.version(ofLine: line.line), line.count) }
        for slot in book.asleep(at: now) where !book.units[slot].isCheck { add(book.units[slot].work.version, 1) }
        return counts.sorted { $0.version < $1.version }
    }

    /// The versions that waiting spot checks need.
    func checkedVersions(at now: MonotonicTime) -> [PolicyVersion] {
        if book.checkCount == 0 { return [] }
        return book.waiting.counts.filter { $0.checkCount > 0 }.map { Self.version(ofLine: $0.line) }
            + book.asleep(at: now).filter { book.units[$0].isCheck }.map { book.units[$0].work.version }
    }

    /// Waiting spot checks: the version each needs, and who must not make it. A round over all units.
    func checkDemand(at now: MonotonicTime) -> [(version: PolicyVersion, excluded: [String])] {
        if book.checkCount == 0 { return [] }
        return book.slotsInOrder.filter { book.units[$0].isCheck && book.units[$0].isWaiting(at: now) }
            .map { (book.units[$0].work.version, book.units[$0].excluded) }
    }

    /// Gives out what waits, in order, while somebody is free. O(log n) for each group given out and each spot check
    /// that nobody free may make.
    /// - Parameters:
    ///   - index: of these members; grants are entered.
    ///   - reserved: a worker that is being prepared for training and takes no groups.
    ///   - manifest: the published policy of a version.
    mutating func assign(
        to members: Membership, _ index: inout WorkerIndex, except reserved: String?, at now: MonotonicTime,
        leases: inout LeaseMaker, manifest: (PolicyVersion) -> PolicyManifest?
    ) -> [Grant] {
        book.wake(at: now)
        guard !book.waiting.isEmpty else { return [] }
        let reservedPlace = reserved.flatMap(members.index(of:))
        var grants: [Grant] = []
        var line = book.waiting.line(after: nil)
        while let number = line {
            let version = Self.version(ofLine: number)
            let stocks = index.stocks.indices.filter { place in
                let stock = index.stocks[place]
                return (Self.isNewer(line: number) ? version <= stock.version : version == stock.version)
                    && manifest(stock.version)?.weightsHash == stock.weightsHash
            }
            var skipped: [Int] = []
            while stocks.contains(where: { !index.stocks[$0].free.isEmpty }),
                let slot = book.waiting.takeFirst(number)
            {
                guard let chosen = preferred(slot, stocks, members, index, reservedPlace) else {
                    skipped.append(slot)
                    // Somebody else may be free for the next check; for a group there is nobody, nor for those after.
                    if book.units[slot].isCheck { continue } else { break }
                }
                let lease = leases.next(
                    for: members.workers[chosen].name, at: now, afterExpiries: book.units[slot].expiryCount)
                book.grant(slot, lease)
                index.takeRolloutSlot(chosen)
                grants.append(
                    Grant(worker: lease.worker, lease: lease.identifier, assignment: book.units[slot].work))
            }
            for slot in skipped { book.waiting.putBack(slot, book.units[slot].order) }
            line = book.waiting.line(after: number)
        }
        return grants
    }

    /// Rested workers that did not fail here before the others; the most free slots first; then the longest joined.
    private func preferred(
        _ slot: Int, _ stocks: [Int], _ members: Membership, _ index: WorkerIndex, _ reserved: Int?
    ) -> Int? {
        let unit = book.units[slot]
        let avoided = unit.avoided.compactMap(members.index(of:))
        for isAvoided in avoided.isEmpty ? [false] : [false, true] {
            for isResting in [false, true] {
                var best: (place: Int, free: Int)?
                for stock in stocks {
                    let found = index.stocks[stock].free.first(resting: isResting) { place in
                        place == reserved || avoided.contains(place) != isAvoided
                            || (!unit.excluded.isEmpty
                                && unit.excluded.contains(Membership.account(of: members.workers[place].name)))
                    }
                    guard let found else { continue }
                    if best.map({ (-found.free, found.place) < (-$0.free, $0.place) }) ?? true { best = found }
                }
                if let best { return best.place }
            }
        }
        return nil
    }

    /// Units that need the same of a worker wait in one line: exactly this version, or this one and newer ones.
    private static func line(of work: RolloutAssignment) -> UInt64 { work.version.rawValue << 1 | (work.newer ? 1 : 0) }
    private static func version(ofLine line: UInt64) -> PolicyVersion { PolicyVersion(line >> 1) }
    private static func isNewer(line: UInt64) -> Bool { line & 1 == 1 }

    /// Whether the worker samples what only the version it holds may sample.
    func needsItsPolicy(_ worker: String) -> Bool {
        book.slots(heldBy: worker).contains { !book.units[$0].work.newer }
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
        // Almost all are the one that was asked for.
        let asked = assignment.version.rawValue
        if let version = completion.versions.first(where: {
            $0.rawValue != asked && (!assignment.admits($0) || $0 > newest)
        }) {
            return "sampled with version \(version.rawValue), asked for \(assignment.version.rawValue)"
                + (assignment.newer ? " to \(newest.rawValue)" : "")
        }
        for logProbs in [completion.sampledLogProbs, completion.policyLogProbs] {
            for logProb in logProbs where !logProb.isFinite || logProb > Self.logProbSlack {
                return "log-prob \(logProb)"
            }
        }
        for entropy in completion.entropies where !entropy.isFinite || entropy < -Self.logProbSlack {
            return "entropy \(entropy)"
        }
        return nil
    }
}
