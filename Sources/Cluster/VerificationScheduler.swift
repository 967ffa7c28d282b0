// Which worker judges which group, and what becomes of verdicts that are missing.

import Rollouts

/// A group's completions are judged by one verifier. Those left without a verdict are tried again, on another worker
/// where there is one, after 1 s, 2 s, 4 s, …; after the last attempt they stay without a verdict. They never become
/// wrong answers.
struct VerificationScheduler: Equatable, Sendable {
    typealias Unit = LeaseBook<VerificationWork>.Unit
    /// Leases lost with their worker before a group counts as one that brings verifiers down.
    static let lossLimit = 24
    private static let backOffLimit = 5

    var book = LeaseBook<VerificationWork>()
    let attemptLimit: Int

    struct VerificationWork: Equatable, Sendable {
        var promptText: String
        var answer: String
        var completions: [String]
        /// One per completion; nil: still to be judged.
        var verdicts: [Verdict?]
        /// What the last attempt said about completions it could not judge.
        var lastReason = "not tried"

        /// Places of the completions still to be judged, ascending.
        var open: [Int] { verdicts.indices.filter { verdicts[$0] == nil } }
    }

    struct Grant: Equatable {
        var worker: String
        var lease: LeaseIdentifier
        var assignment: VerificationAssignment
    }

    enum Outcome: Equatable {
        /// One verdict per completion of the group.
        case settled(GroupKey, [Verdict])
        case retried(after: Duration)
    }

    init(options: ClusterOptions) {
        attemptLimit = max(1, options.verificationAttempts)
    }

    /// - Parameter verdicts: what earlier attempts found; completions without a verdict are judged again.
    mutating func add(_ prompt: Prompt, _ completions: [Completion], keeping verdicts: [Verdict] = []) {
        var kept: [Verdict?] = Array(repeating: nil, count: completions.count)
        for (place, verdict) in verdicts.enumerated() where verdict.outcome != .noVerdict { kept[place] = verdict }
        let work = VerificationWork(
            promptText: prompt.text, answer: prompt.answer, completions: completions.map(\.text), verdicts: kept)
        book.insert(Unit(key: prompt.key, work: work), order: UnitOrder(prompt.key))
    }

    /// Gives out what waits, in order, while somebody is free. O(log n) for each group given out.
    /// - Parameter index: of these members; grants are entered.
    mutating func assign(
        to members: Membership, _ index: inout WorkerIndex, at now: MonotonicTime, leases: inout LeaseMaker
    ) -> [Grant] {
        book.wake(at: now)
        var grants: [Grant] = []
        while !index.verifiers.isEmpty, let line = book.waiting.line(after: nil),
            let slot = book.waiting.takeFirst(line)
        {
            let unit = book.units[slot]
            guard let chosen = Self.preferred(avoiding: unit.avoided, members, index) else {
                preconditionFailure("there are free verifiers, but none for \(unit.key)")
            }
            let lease = leases.next(for: members.workers[chosen].name, at: now, afterExpiries: unit.expiryCount)
            book.grant(slot, lease)
            index.takeVerificationSlot(chosen)
            let assignment = VerificationAssignment(
                key: unit.key, promptText: unit.work.promptText, answer: unit.work.answer,
                completions: unit.work.open.map { unit.work.completions[$0] })
            grants.append(Grant(worker: lease.worker, lease: lease.identifier, assignment: assignment))
        }
        return grants
    }

    /// As with rollouts.
    private static func preferred(avoiding names: [String], _ members: Membership, _ index: WorkerIndex) -> Int? {
        let avoided = names.compactMap(members.index(of:))
        for isAvoided in avoided.isEmpty ? [false] : [false, true] {
            for isResting in [false, true] {
                let found = index.verifiers.first(resting: isResting) { avoided.contains($0) != isAvoided }
                if let found { return found.place }
            }
        }
        return nil
    }

    /// What makes these verdicts unusable as an answer for the unit; nil when nothing does.
    func fault(in verdicts: [Verdict], ofUnit index: Int) -> String? {
        let expected = book.units[index].work.open.count
        guard verdicts.count == expected else { return "expected \(expected) verdicts, found \(verdicts.count)" }
        for (place, verdict) in verdicts.enumerated() where verdict.outcome != .noVerdict && !verdict.score.isFinite {
            return "verdict \(place): score \(verdict.score)"
        }
        return nil
    }

    /// Takes the verdicts of one attempt; they must be without fault.
    mutating func take(_ verdicts: [Verdict], ofUnit index: Int, by worker: String, at now: MonotonicTime) -> Outcome {
        book.change(index) { unit in
            for (place, verdict) in zip(unit.work.open, verdicts) {
                if verdict.outcome == .noVerdict {
                    unit.work.lastReason = verdict.reason
                } else {
                    unit.work.verdicts[place] = verdict
                }
            }
        }
        return book.units[index].work.open.isEmpty
            ? settle(index) : fail(index, by: worker, reason: nil, retryable: true, at: now)
    }

    /// An attempt found no verdict, or could not be made.
    mutating func fail(
        _ index: Int, by worker: String, reason: String?, retryable: Bool, at now: MonotonicTime
    ) -> Outcome {
        book.release(index)
        // One attempt counts once, however often and under whichever of its leases the answer arrives.
        book.forgetFormerLeases(index)
        var wait = Duration.zero
        book.change(index) { unit in
            unit.failureCount += 1
            if let reason { unit.work.lastReason = reason }
            if !unit.avoided.contains(worker) { unit.avoided.append(worker) }
            wait = .seconds(1 << min(unit.failureCount - 1, Self.backOffLimit))
            unit.notBefore = now + wait
        }
        guard retryable, book.units[index].failureCount < attemptLimit else { return settle(index) }
        return .retried(after: wait)
    }

    /// The lease was lost with its worker. Losses do not count as attempts, unless there is no end of them.
    mutating func lose(_ index: Int, by worker: String) -> Outcome? {
        book.release(index)
        book.change(index) { unit in
            unit.lossCount += 1
            if !unit.avoided.contains(worker) { unit.avoided.append(worker) }
            unit.work.lastReason = "lost with \(unit.lossCount) verifiers, last `\(worker)`"
        }
        return book.units[index].lossCount < Self.lossLimit ? nil : settle(index)
    }

    private mutating func settle(_ index: Int) -> Outcome {
        let unit = book.remove(index)
        return .settled(unit.key, unit.work.verdicts.map { $0 ?? .noVerdict(unit.work.lastReason) })
    }
}
